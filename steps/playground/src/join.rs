//! A second terminal: the same root of the same host.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{IsTerminal, stdin};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use cgroups::delegation::{ask_systemd_for_a_scope, join_those_of};
use nix::sched::CloneFlags;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use nix::unistd::geteuid;
use pid_namespace::below::firsts;
use runtime::other_process::{arguments, enter, environment, status};
use runtime::process::Child;
use runtime::{Inside, Narrator, RUNTIME_FAILED, Signals, told};

use crate::host::{self, INIT};
use crate::outside::{ASKED, CGROUP};

/// Runs the command in a playground that runs already.
pub fn join(outside: Option<i32>, mut command: Vec<OsString>) -> Result<u8> {
    ask_systemd_for_a_scope(ASKED)?;
    let first = choose(outside)?;
    let settings =
        stdin().is_terminal().then(|| tcgetattr(stdin())).transpose()?;
    if command.is_empty() {
        eprintln!("You have joined the playground. Leave it with: exit");
        command = host::shell();
    }
    let mut child = Child::start(CloneFlags::empty(), || {
        run_inside(first, &command).unwrap_or_else(|error| {
            match is_there(first) {
                true => crate::tell(&error),
                false => crate::tell(&anyhow!("{GONE}")),
            }
        })
    })
    .context("clone(SIGCHLD)")?;
    let status = child.wait().context("waitpid()")?.status();
    if status != RUNTIME_FAILED && has_ended(first, status) {
        // What was killed with it did not give the terminal back.
        if let Some(settings) = settings {
            SigSet::from(Signal::SIGTTOU).thread_block()?;
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, &settings);
        }
        eprintln!("playground: it has ended, with everything that ran in it.");
    }
    Ok(status)
}

const GONE: &str =
    "no playground of yours runs here any more: it ended just now.";
const NONE: &str = "no playground of yours runs here.
Start one in another terminal: scripts/playground.sh
If you started one with sudo, join it with sudo.";
const ELSEWHERE: &str = "Join from where you started the playground: the same login, the same user.";

/// The PID 1 of the only one, or of that below the process `outside`.
fn choose(outside: Option<i32>) -> Result<i32> {
    let all = running()?;
    let only = all.values().next().filter(|_| all.len() == 1);
    let mut lesson = match (outside, only) {
        _ if all.is_empty() => bail!(NONE),
        (Some(pid), _) if all.contains_key(&pid) => return Ok(all[&pid]),
        (Some(pid), _) => {
            format!("process {pid} is not a playground of yours.")
        }
        (None, Some(first)) => return Ok(*first),
        (None, None) => format!("{} playgrounds of yours run here.", all.len()),
    };
    lesson += " Join one with:";
    for (outside, first) in all {
        let runs = arguments(first).split_off(2).join(OsStr::new(" "));
        let runs = if runs.is_empty() { "a shell".into() } else { runs };
        let join = format!("scripts/playground.sh --join={outside}");
        lesson += &format!("\n{join}   runs {}", runs.to_string_lossy());
    }
    bail!(lesson)
}

/// Each that is yours and ready: the pid of its playground.sh, and its PID 1,
/// which is a grandchild of that process. It need not be written down anywhere.
fn running() -> Result<BTreeMap<i32, i32>> {
    let parent = |pid: i32| status(pid, "PPid")?.parse::<i32>().ok();
    let is_yours = |pid: i32| {
        let about = fs::metadata(format!("/proc/{pid}"));
        about.is_ok_and(|it| it.uid() == geteuid().as_raw())
    };
    let all = firsts().context("readdir(/proc)")?.into_iter();
    let pairs = all.filter(|&first| is_there(first)).filter_map(|first| {
        let outside = parent(first).and_then(parent)?;
        is_yours(outside).then_some((outside, first))
    });
    Ok(pairs.collect())
}

/// A PID 1 that has made all and begun anew.
fn is_there(first: i32) -> bool {
    matches!(&arguments(first)[..], [program, word, ..]
        if Path::new(program).ends_with("playground") && word == INIT)
}

/// Whoever was killed may have been killed with it, and be the first to go.
fn has_ended(first: i32, status: u8) -> bool {
    let was_killed = status == 128 + Signal::SIGKILL as u8;
    let until = Instant::now() + Duration::from_secs(was_killed.into());
    while is_there(first) && Instant::now() < until {
        sleep(Duration::from_millis(20));
    }
    !is_there(first)
}

/// Its cgroups, all its namespaces, its root; there, the command.
fn run_inside(first: i32, command: &[OsString]) -> Result<u8> {
    join_those_of(first, &format!("/{CGROUP}"))
        .map_err(|error| anyhow!("{}\n{ELSEWHERE}", told(&error)))?;
    let cwd = format!("/proc/{first}/cwd");
    let directory = fs::read_link(&cwd).context(cwd)?;
    let environment = environment(first);
    enter(first)?;
    let signals = Signals::none().context("signalfd()")?;
    let quiet = Narrator::new(true, false, &signals)?;
    user_namespace::become_root(&Inside::new(Path::new("/"), &quiet))?;
    set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    std::env::set_current_dir(&directory)
        .with_context(|| format!("chdir({directory:?})"))?;

    // What PID 1 was started with. The terminal is ours.
    let mut program = Command::new(&command[0]);
    program.env_clear().envs(environment).env_remove("TERM");
    program.envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    let mut child = host::start(command, &mut program)?;
    Ok(child.wait().context("waitpid()")?.status())
}
