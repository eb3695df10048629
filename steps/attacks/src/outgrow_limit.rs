//! A container in the container, with a larger limit: makes a cgroup as high up
//! as it can, gives it a generous limit, enters it, and fills it.

use std::fs::{self, File};
use std::io::{Read, Write, stdin};
use std::mem::forget;
use std::process::Stdio;

use nix::errno::Errno;

use crate::again::{again, role};
use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};
use crate::cgroup::Own;

pub const ATTACK: Attack = Attack {
    name: "outgrow-limit",
    tries: "be larger in a cgroup of its own than the container may be (20)",
    stopped: StoppedBy::Step(10),
    rule: "a limit holds for all cgroups below, whatever limits these have",
    source: "cgroups(7), cgroup-v2.rst: Top-down Constraint",
    arguments: &[
        Argument::new("NAME", "nested", "what the new cgroup is called"),
        STAY,
    ],
    run,
};

const MANY: usize = 40;

fn run(arguments: &Arguments) -> Try {
    if role().is_some() {
        // Waits for the end of a pipe that its parent holds.
        let _ = stdin().read(&mut [0]);
        return Ok(Outcome::Done("over".into()));
    }
    let (own, name) = (Own::find()?, arguments.text("NAME")?);
    let above = own.above().join(name);
    let nested = match fs::create_dir(&above) {
        Ok(()) if above.join("cgroup.procs").exists() => above,
        _ => own.directory().join(name),
    };
    if !nested.exists() {
        fs::create_dir(&nested).or_stopped(format!("mkdir({nested:?})"))?;
    }
    // It has none where the controller is not handed on: then those above count.
    let limit = nested.join("pids.max");
    let mut file = File::options();
    match file.write(true).open(&limit).and_then(|mut it| it.write_all(b"1000"))
    {
        Err(error) if error.raw_os_error() != Some(Errno::ENOENT as i32) => {
            return Ok(Outcome::refused(format!("write({limit:?})"), error));
        }
        _ => {}
    }
    let procs = nested.join("cgroup.procs");
    fs::write(&procs, "0").or_stopped(format!("write({procs:?}, \"0\")"))?;
    let mut children = Vec::new();
    while children.len() < MANY {
        let child = again(ATTACK.name, "filler")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        match child {
            Ok(child) => children.push(child),
            Err(error) => {
                let count = children.len();
                let call =
                    format!("fork() after {count}, below a limit of 1000");
                return Ok(Outcome::refused(call, error));
            }
        }
    }
    // They stay for as long as we do.
    forget(children);
    Ok(Outcome::Worked(format!("{MANY} processes in {}", nested.display())))
}
