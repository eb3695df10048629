//! A container in the container, with an id that the outer one does not have.
//! Whoever could map it would own that user's files.

use std::fs;
use std::io::{Read, Write, stdin};
use std::process::Stdio;

use anyhow::Context;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, getppid, setuid};

use crate::again::{again, role};
use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "map-outer-id",
    tries: "be a user of the host in a user namespace inside",
    stopped: StoppedBy::Step(5),
    rule: "a map inside names ids of the namespace around it, and no others",
    source: "user_namespaces(7), User and group ID mappings",
    arguments: &[
        Argument::new("UID", "4000000", "an id that the container lacks"),
        STAY,
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let id: u32 = arguments.number("UID")?;
    if role().is_some() {
        return map(id);
    }
    // Who writes a map needs the power over the namespace around: a child that
    // stays there has it.
    let mut mapper = again(ATTACK.name, "mapper")
        .arg(id.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .or_stopped("fork()")?;
    unshare(CloneFlags::CLONE_NEWUSER).or_stopped("unshare(CLONE_NEWUSER)")?;
    let mut go = mapper.stdin.take().context("its stdin")?;
    go.write_all(b"\n").context("go")?;
    drop(go);
    let call = format!("write(\"uid_map\", \"0 {id} 1\")");
    match mapper.wait().context("wait")?.code() {
        Some(0) => {}
        Some(errno) => {
            return Ok(Outcome::refused(call, Errno::from_raw(errno)));
        }
        None => return Ok(Outcome::CannotTry("the helper was killed".into())),
    }
    setuid(Uid::from_raw(0)).or_stopped("setuid(0)")?;
    Ok(Outcome::Worked(format!("we are user {id}")))
}

/// The child's part. Its exit status is what its parent has to know.
fn map(id: u32) -> Try {
    let _ = stdin().read(&mut [0]);
    let file = format!("/proc/{}/uid_map", getppid());
    let written = fs::write(file, format!("0 {id} 1\n"));
    let errno = written.err().and_then(|error| error.raw_os_error());
    std::process::exit(errno.unwrap_or(0));
}
