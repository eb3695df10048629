//! Executes a program of root's that has the setuid bit, as an image may have
//! many (su, mount, passwd): root again, with all that root inside may do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::Context;
use nix::unistd::geteuid;

use crate::again::{by, role};
use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, STAY, StoppedBy,
    Try,
};

pub const ATTACK: Attack = Attack {
    name: "run-setuid",
    tries: "become root inside by a setuid program (-u 1000)",
    stopped: StoppedBy::Step(9),
    rule: "with no_new_privs, execve gives nobody more than they had",
    source: "PR_SET_NO_NEW_PRIVS(2const), execve(2)",
    arguments: &[
        Argument::new(
            "PROGRAM",
            "/bin/attack-setuid",
            "a copy of this one that belongs to root, mode 4755",
        ),
        STAY,
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    if role().is_some() {
        println!("{}", geteuid());
        return Ok(Outcome::Done("said who we are".into()));
    }
    if geteuid().is_root() {
        let how = "we are root already: start the container with -u 1000";
        return Ok(Outcome::CannotTry(how.into()));
    }
    let uid = answer(&ATTACK, arguments)?;
    Ok(match &*uid {
        "0" => Outcome::Worked("we are root inside".into()),
        uid => Outcome::Stopped(format!("it runs as {uid}, as we do")),
    })
}

/// What PROGRAM says, which is a copy of this one, of itself. It stays as long
/// as we do.
pub fn answer(attack: &Attack, arguments: &Arguments) -> Result<String, Ended> {
    let program = arguments.text("PROGRAM")?;
    let mut child = by(program, attack.name, "itself")
        .args([program, arguments.text(STAY.name)?])
        .stdout(Stdio::piped())
        .spawn()
        .or_stopped(format!("execve({program:?})"))?;
    let mut line = String::new();
    let said = child.stdout.take().context("no pipe")?;
    BufReader::new(said).read_line(&mut line).context("read")?;
    Ok(line.trim_end().to_owned())
}
