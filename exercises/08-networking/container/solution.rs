//! container ROOT WORK FIRST COUNT CGROUP MAX COMMAND ARG...
//!
//! Runs COMMAND in a container. Three processes, each the parent of the next:
//! on the host, in the user namespace, and number 1, which becomes COMMAND.

use std::fs::{create_dir, read_dir, write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, exit};

use anyhow::{Context, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::*;

const NONE: Option<&str> = None;

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.first().context("ROOT is missing")?.as_str() {
        "in-user-namespace" => in_user_namespace(&args[1..]),
        "number-1" => number_1(&args[1..]),
        _ => on_the_host(&args),
    }
}

/// Prepares what takes privileges on the host.
fn on_the_host(args: &[String]) -> anyhow::Result<()> {
    let [root, work, first, count, cgroup, max, command @ ..] = args else {
        bail!("container ROOT WORK FIRST COUNT CGROUP MAX COMMAND ARG...");
    };
    close_all_above_stderr()?;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare")?;
    change("/", MsFlags::MS_PRIVATE).context("make / private")?;
    let merged = overlay(root, work, first.parse()?)?;
    write(format!("{cgroup}/pids.max"), max).context("limit")?;

    let child = again("in-user-namespace", &[&merged], command)?;
    let pid = Pid::from_raw(child.id() as i32);
    // It stops when it has unshared. If it ends instead, that is reported
    // below.
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    ensure!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    write(format!("{cgroup}/cgroup.procs"), pid.to_string()).context("join")?;
    for map in ["uid_map", "gid_map"] {
        let line = format!("0 {first} {count}");
        write(format!("/proc/{pid}/{map}"), line).context(map)?;
    }
    kill(pid, Signal::SIGCONT).context("let it go on")?;
    end_as(child)
}

/// What is written goes to a directory below `work`, which belongs to the
/// container's root.
fn overlay(root: &str, work: &str, first: u32) -> anyhow::Result<String> {
    let place = |name: &str| format!("{work}/{name}");
    let [upper, kernel, merged] = ["upper", "kernel", "merged"].map(place);
    for directory in [&upper, &kernel, &merged] {
        create_dir(directory).context("mkdir")?;
    }
    let owner = (Some(Uid::from_raw(first)), Some(Gid::from_raw(first)));
    chown(&*upper, owner.0, owner.1).context("chown")?;
    let options = format!("lowerdir={root},upperdir={upper},workdir={kernel}");
    let (kind, flags) = (Some("overlay"), MsFlags::empty());
    mount(kind, &*merged, kind, flags, Some(&*options)).context("overlay")?;
    Ok(merged)
}

/// Becomes root there, and unshares the rest, which then belongs to it.
fn in_user_namespace(args: &[String]) -> anyhow::Result<()> {
    let (merged, command) = args.split_first().context("no COMMAND")?;
    die_with_parent()?;
    unshare(CloneFlags::CLONE_NEWUSER).context("unshare user")?;
    raise(Signal::SIGSTOP).context("wait for the maps")?;
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[]).context("setgroups")?;
    setresgid(group, group, group).context("setresgid")?;
    setresuid(user, user, user).context("setresuid")?;
    die_with_parent()?;
    unshare(
        CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWCGROUP,
    )
    .context("unshare")?;
    end_as(again("number-1", &[merged], command)?)
}

/// Number 1 of the new namespace: its mounts, its root, and then COMMAND.
fn number_1(args: &[String]) -> anyhow::Result<()> {
    let [merged, command, args @ ..] = args else { bail!("no COMMAND") };
    die_with_parent()?;
    sethostname("container").context("sethostname")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "ip link set lo up: {up}");

    change("/", MsFlags::MS_PRIVATE).context("make / private")?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(&**merged), &**merged, NONE, bind, NONE).context("bind")?;
    chdir(&**merged).context("chdir")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), flags, NONE).context("proc")?;
    pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("umount the old root")?;
    chdir("/").context("chdir")?;
    Err(Command::new(command).args(args).exec().into())
}

/// This program once more, in another part.
fn again(part: &str, own: &[&str], rest: &[String]) -> anyhow::Result<Child> {
    let mut program = Command::new("/proc/self/exe");
    program.arg(part).args(own).args(rest);
    program.spawn().context(part.to_owned())
}

/// With its exit status, or 128+n.
fn end_as(mut child: Child) -> anyhow::Result<()> {
    let status = child.wait().context("wait")?;
    exit(status.code().unwrap_or(128 + status.signal().unwrap_or(0)));
}

fn die_with_parent() -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("set_pdeathsig")
}

/// A directory of the host that somebody left open would be a way out.
fn close_all_above_stderr() -> anyhow::Result<()> {
    let open = read_dir("/proc/self/fd")?.flatten();
    let names: Vec<_> = open.map(|entry| entry.file_name()).collect();
    for name in names {
        let number: i32 = name.to_string_lossy().parse()?;
        // One of them was the directory's own, and is closed already.
        if number > 2 {
            close(number).ok();
        }
    }
    Ok(())
}

/// Changes the propagation of a mount and of all below it.
fn change(place: impl AsRef<Path>, to: MsFlags) -> nix::Result<()> {
    mount(NONE, place.as_ref(), NONE, MsFlags::MS_REC | to, NONE)
}
