//! A second terminal: the same root of the same host.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{IsTerminal, stdin};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use nix::unistd::geteuid;
use runtime::process::Child;
use runtime::{Inside, Narrator, RUNTIME_FAILED, Signals};

use crate::cgroup;
use crate::host::{self, INIT};
use crate::refusal::Lesson;

/// Runs the command in a playground that runs already.
pub fn join(outside: Option<i32>, mut command: Vec<OsString>) -> Result<u8> {
    cgroup::ask_systemd_for_a_scope()?;
    let first = choose(outside)?;
    let settings =
        stdin().is_terminal().then(|| tcgetattr(stdin())).transpose()?;
    if command.is_empty() {
        eprintln!("You have joined the playground. Leave it with: exit");
        command = host::shell();
    }
    let mut child = Child::start(CloneFlags::empty(), || {
        enter(first, &command).unwrap_or_else(|error| match is_there(first) {
            true => crate::tell(&error),
            false => crate::tell(&Lesson::of([GONE]).into()),
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
        eprintln!("playground: it has ended, and all that ran in it.");
    }
    Ok(status)
}

const GONE: &str =
    "no playground of yours runs here any more: it ended just now.";

/// The PID 1 of the only one, or of that below the process `outside`.
fn choose(outside: Option<i32>) -> Result<i32> {
    let all = running()?;
    let choices = |lesson: Lesson| {
        all.iter().fold(lesson, |lesson, (outside, first)| {
            let runs = arguments(*first).split_off(2).join(OsStr::new(" "));
            let runs = if runs.is_empty() { "a shell".into() } else { runs };
            lesson.and(format!(
                "scripts/playground.sh --join={outside}   runs {}",
                runs.display()
            ))
        })
    };
    ensure!(
        !all.is_empty(),
        Lesson::of([
            "no playground of yours runs here.",
            "Start one in another terminal: scripts/playground.sh",
            "One that was started with sudo is joined with sudo.",
        ])
    );
    if let Some(outside) = outside {
        let first = all.get(&outside).copied();
        let none = format!(
            "process {outside} is no playground of yours. Join one with:"
        );
        return first.ok_or_else(|| choices(Lesson::of([&none])).into());
    }
    let several =
        format!("{} playgrounds of yours run here. Join one with:", all.len());
    ensure!(all.len() == 1, choices(Lesson::of([&several])));
    all.into_values().next().context("there is one")
}

/// Each that is yours and ready: the pid of its playground.sh, and its PID 1. It
/// need not be written down anywhere. PID 1 is the first of a PID namespace
/// below ours, and a grandchild of the process that you have started.
fn running() -> Result<BTreeMap<i32, i32>> {
    let numbers = |pid: &str, key: &str| -> Option<Vec<i32>> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().flat_map(str::parse).collect())
    };
    let depth = numbers("self", "NSpid:").context("/proc/self/status")?.len();
    let parent =
        |pid: i32| numbers(&pid.to_string(), "PPid:")?.first().copied();
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("readdir(/proc)")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let inside = numbers(&pid.to_string(), "NSpid:").unwrap_or_default();
        if inside.len() != depth + 1
            || inside.last() != Some(&1)
            || !is_there(pid)
        {
            continue;
        }
        let Some(outside) = parent(pid).and_then(parent) else { continue };
        let about = fs::metadata(format!("/proc/{outside}"));
        if about.is_ok_and(|it| it.uid() == geteuid().as_raw()) {
            all.insert(outside, pid);
        }
    }
    Ok(all)
}

/// A PID 1 that has made all and begun anew.
fn is_there(first: i32) -> bool {
    let words = arguments(first);
    let is_ours = |word: &OsString| Path::new(word).ends_with("playground");
    words.first().is_some_and(is_ours)
        && words.get(1).is_some_and(|it| it == INIT)
}

/// Nothing, once it ends.
fn arguments(pid: i32) -> Vec<OsString> {
    strings(&format!("/proc/{pid}/cmdline"))
}

fn strings(file: &str) -> Vec<OsString> {
    let text = fs::read(file).unwrap_or_default();
    let words = text.split_inclusive(|&byte| byte == 0);
    words
        .map(|word| OsString::from_vec(word[..word.len() - 1].to_vec()))
        .collect()
}

/// Whoever was killed may have been killed with it, and be the first to go.
fn has_ended(first: i32, status: u8) -> bool {
    const KILLED: u8 = 128 + Signal::SIGKILL as u8;
    let patience = if status == KILLED { 20 } else { 1 };
    (0..patience).any(|_| {
        if is_there(first) {
            sleep(Duration::from_millis(50));
        }
        !is_there(first)
    })
}

/// Its cgroups, all its namespaces, its root; there, the command.
fn enter(first: i32, command: &[OsString]) -> Result<u8> {
    cgroup::join_all_of(first).map_err(|error| {
        Lesson::of([&runtime::told(&error)])
            .and("Join from where you started the playground: the same login, the same user.")
    })?;
    let of = |name: &str| format!("/proc/{first}/{name}");
    let directory = fs::read_link(of("cwd")).with_context(|| of("cwd"))?;
    let environment = strings(&of("environ"));
    let open = |kind: &str| {
        let path = of(&format!("ns/{kind}"));
        File::open(&path).with_context(|| format!("open({path:?})"))
    };
    // With the user namespace come the rights to enter the others, and our
    // children are in the PID namespace.
    let kinds = ["user", "cgroup", "ipc", "uts", "net", "pid", "mnt"];
    let all = kinds.map(open).into_iter().collect::<Result<Vec<_>>>()?;
    for (kind, namespace) in kinds.iter().zip(all) {
        setns(namespace, CloneFlags::empty())
            .with_context(|| format!("setns({kind})"))?;
    }
    let signals = Signals::none().context("signalfd()")?;
    let quiet = Narrator::new(true, false, &signals)?;
    user_namespace::become_root(&Inside::new(Path::new("/"), &quiet))?;
    set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    std::env::set_current_dir(&directory)
        .with_context(|| format!("chdir({directory:?})"))?;

    let mut program = Command::new(&command[0]);
    program.env_clear();
    for variable in &environment {
        // What PID 1 was started with. The terminal is ours.
        let bytes = variable.as_bytes();
        if let Some(end) = bytes.iter().position(|&byte| byte == b'=') {
            program.env(
                OsStr::from_bytes(&bytes[..end]),
                OsStr::from_bytes(&bytes[end + 1..]),
            );
        }
    }
    program
        .env_remove("TERM")
        .envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    let mut child = host::start(command, &mut program)?;
    Ok(child.wait().context("waitpid()")?.status())
}
