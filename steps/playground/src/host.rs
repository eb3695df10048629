//! PID 1 of the pretended host: it makes the rest of it, and then the command.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use mount_namespace::{Mount, NewRoot, dev, pivot, proc};
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::sethostname;
use runtime::process::{Child, wait_for_any};
use runtime::{Inside, NOT_EXECUTABLE, NOT_FOUND, Narrator};

use crate::cgroup::Cgroups;
use crate::environment::{self, Caller};
use crate::internet;
use crate::refusal::Lesson;
use crate::view::VIEW;

/// All of root's own, in one clone(2), but for the network: files in /proc/net
/// belong to whoever is root when it is born, and there is no root before maps.
pub const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWUSER
    .union(CloneFlags::CLONE_NEWCGROUP)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWPID);

/// What PID 1 calls itself with, when all is made.
pub const INIT: &str = "--init";

/// From here on we are root of the playground, and of nothing else.
pub fn become_host(
    caller: &Caller,
    cgroups: &Cgroups,
    home: &Path,
    ids: u32,
    quiet: &Narrator,
    command: &[OsString],
) -> Result<Infallible> {
    let mut inside = Inside::new(Path::new(VIEW), quiet);
    inside.terminal = fs::read_link("/proc/self/fd/2")
        .ok()
        .filter(|_| std::io::stderr().is_terminal());
    user_namespace::become_root(&inside)?;
    set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
    let root = NewRoot::enter(&inside)?;
    proc::mount(&inside, &root).map_err(|error| {
        Lesson::of([&runtime::told(&error)])
            .and("Or use the lab, which needs none of this: scripts/lab.sh")
    })?;
    mount_sys(&inside)?;
    dev::populate(&inside, &root)?;
    if Path::new("/dev/net/tun").exists() {
        fs::create_dir("dev/net").context("mkdir(dev/net)")?;
        dev::bind_over_new_file(
            &inside,
            &root,
            "dev/net/tun",
            Path::new("/dev/net/tun"),
            "",
        )?;
    }
    cgroups.mount(&inside)?;
    pivot(&inside)?;
    // A real host's / is shared (systemd does that), and mounts leak by it.
    Mount::change(MsFlags::MS_REC | MsFlags::MS_SHARED)
        .make(&inside, "/", "")?;
    sethostname("playground").context("sethostname()")?;
    // As on a host that has been up for a while: who sees small numbers is in a
    // PID namespace of their own.
    let _ = fs::write("/proc/sys/kernel/ns_last_pid", "99");
    internet::begin_as_known_network()?;
    internet::connect(&caller.programs)?;

    fs::create_dir_all("/run/cache").context("mkdir(/run/cache)")?;
    let _ = std::env::set_current_dir(&caller.directory)
        .or_else(|_| std::env::set_current_dir(&caller.checkout));
    let facts = [
        ("PLAYGROUND_IDS", ids.to_string()),
        ("PLAYGROUND_CGROUP", cgroups.version().to_owned()),
    ];
    let environment =
        environment::inside(caller, home, facts, internet::SERVER);
    let mut own = Command::new(&caller.own);
    own.arg(INIT).args(command).env_clear().envs(environment);
    Err(own.exec()).with_context(|| format!("execve({:?})", caller.own))
}

/// A masked /sys, as in docker, can't be had anew.
fn mount_sys(inside: &Inside) -> Result<()> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if Mount::new("sysfs", quiet, "").make(inside, "sys", "").is_err() {
        Mount::new("tmpfs", quiet, "mode=755,size=1m")
            .make(inside, "sys", "")?;
        fs::create_dir_all("sys/fs/cgroup").context("mkdir(sys/fs/cgroup)")?;
    }
    Ok(())
}

/// PID 1, begun anew: nothing of it is the host's any more. When it ends, the
/// kernel kills all that is left of the playground.
pub fn init(mut command: Vec<OsString>) -> Result<u8> {
    set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    if command.is_empty() {
        eprintln!(
            "You are root on a pretended host. What you break here stays here. Leave it with: exit"
        );
        let programs = std::env::var_os("WORKSHOP_BIN").unwrap_or_default();
        if !Path::new(&programs).join("01-chroot").exists() {
            eprintln!(
                "The workshop's programs are not built yet. Leave, type: cargo build --workspace"
            );
        }
        command = shell();
    }
    let child = start(&command, &mut Command::new(&command[0]))?.into_pid();
    loop {
        // Orphans are ours, too.
        let (pid, exit) = wait_for_any().context("waitpid()")?;
        if pid == child {
            return Ok(exit.status());
        }
    }
}

/// What a person gets who names no command.
pub fn shell() -> Vec<OsString> {
    ["env", r"PS1=\u@\h:\w\$ ", "bash"].map(OsString::from).into()
}

/// Starts the command, which dies with us.
pub fn start(command: &[OsString], program: &mut Command) -> Result<Child> {
    program.args(&command[1..]);
    let execute = || {
        let _ = set_pdeathsig(Signal::SIGKILL);
        let _ = SigSet::empty().thread_set_mask();
        let error = program.exec();
        eprintln!("playground: execve({:?}): {error}", command[0]);
        match error.kind() {
            ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        }
    };
    Child::start(CloneFlags::empty(), execute).context("clone(SIGCHLD)")
}
