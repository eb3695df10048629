//! PID 1 of the pretend host: it makes the rest of it, and then the command.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use mount_namespace::{Mount, NewRoot, dev, pivot, proc, sys};
use networking::kernel_defaults;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::sethostname;
use runtime::process::{Child, wait_as_pid_1};
use runtime::{Channel, Inside, NOT_EXECUTABLE, NOT_FOUND};

use crate::environment;
use crate::internet;
use crate::outside::Playground;
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
    playground: &Playground,
    home: &Path,
    ids: u32,
    outside: &Channel,
) -> Result<Infallible> {
    let Playground { caller, cgroups, quiet, command, .. } = playground;
    let mut inside = Inside::new(Path::new(VIEW), quiet);
    inside.terminal = fs::read_link("/proc/self/fd/2")
        .ok()
        .filter(|_| std::io::stderr().is_terminal());
    user_namespace::become_root(&inside)?;
    unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
    outside.die_with_the_other_side()?;
    let root = NewRoot::enter(&inside)?;
    proc::mount(&inside, &root)?;
    sys::mount_to_write(&inside, &root)?;
    dev::populate(&inside, &root)?;
    dev::tun(&inside, &root)?;
    cgroups.mount(&inside)?;
    pivot(&inside, || Ok(()))?;
    // A real host's / is shared (systemd does that), and mounts leak by it.
    Mount::change(MsFlags::MS_REC | MsFlags::MS_SHARED)
        .make(&inside, "/", "")?;
    sethostname("playground").context("sethostname()")?;
    // As on a host that has been up for a while: who sees small numbers is in a
    // PID namespace of their own.
    let _ = fs::write("/proc/sys/kernel/ns_last_pid", "99");
    kernel_defaults::restore()?;
    internet::connect(&caller.programs)?;

    fs::create_dir_all("/run/cache").context("mkdir(/run/cache)")?;
    let _ = std::env::set_current_dir(&caller.directory)
        .or_else(|_| std::env::set_current_dir(&caller.checkout));
    let version = cgroups.version();
    let environment = environment::inside(caller, home, ids, version);
    let mut own = Command::new(&caller.own);
    own.arg(INIT).args(command).env_clear().envs(environment);
    Err(own.exec()).with_context(|| format!("execve({:?})", caller.own))
}

/// PID 1, begun anew: nothing of it is the host's any more. When it ends, the
/// kernel kills all that is left of the playground.
pub fn init(mut command: Vec<OsString>) -> Result<u8> {
    set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    if command.is_empty() {
        eprintln!("{WELCOME}");
        let programs = std::env::var_os("WORKSHOP_BIN").unwrap_or_default();
        if !Path::new(&programs).join("01-chroot").exists() {
            eprintln!("{NOT_BUILT}");
        }
        command = shell();
    }
    let child = start(&command, &mut Command::new(&command[0]))?;
    Ok(wait_as_pid_1(child).context("waitpid()")?.status())
}

const WELCOME: &str = "You are root on a pretend host. What you break here stays here. Leave it with: exit";
const NOT_BUILT: &str = "The workshop's programs are not built yet. Leave, and type: cargo build --workspace";

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
