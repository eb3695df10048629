//! Writes into a layer that other containers are made of, too.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "write-layer",
    tries: "write into an image layer that the next container shares",
    stopped: StoppedBy::Step(7),
    rule: "a lower layer is never written: the file is copied up first",
    source: "overlayfs.rst",
    arguments: &[
        Argument::new(
            "ACT",
            "plant",
            "plant; then, in the next container: check",
        ),
        Argument::new("TEXT", "pwned", "the line to add"),
        Argument::new("FILE", "/etc/passwd", "a file of a layer"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (file, text) = (arguments.text("FILE")?, arguments.text("TEXT")?);
    match arguments.text("ACT")? {
        "plant" => {
            let opened = OpenOptions::new().append(true).open(file);
            let mut opened =
                opened.or_stopped(format!("open({file:?}, O_APPEND)"))?;
            writeln!(opened, "{text}").or_stopped("write()")?;
            Ok(Outcome::Done(format!(
                "written. In the next container: attack {} check",
                ATTACK.name
            )))
        }
        "check" => {
            let now = fs::read_to_string(file)
                .or_stopped(format!("open({file:?})"))?;
            Ok(match now.lines().any(|line| line == text) {
                true => Outcome::Worked(format!(
                    "{text:?} is in {file}, in this container too"
                )),
                false => Outcome::Stopped(format!("{file} is as it was")),
            })
        }
        act => Ok(Outcome::CannotTry(format!(
            "{act:?} is neither plant nor check"
        ))),
    }
}
