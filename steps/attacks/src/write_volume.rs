//! Writes through a volume that was mounted read-only.

use std::fs::OpenOptions;
use std::io::Write;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "write-volume",
    tries: "write a file in a volume that is read-only (-v DIR:/mnt:ro)",
    stopped: StoppedBy::Option(4, ":ro"),
    rule: "a bind mount that was remounted read-only refuses every write",
    source: "mount(2), MS_BIND and MS_REMOUNT",
    arguments: &[
        Argument::new("FILE", "/mnt/attack", "the file"),
        Argument::new("TEXT", "pwned", "what to write"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (file, text) = (arguments.text("FILE")?, arguments.text("TEXT")?);
    let opened = OpenOptions::new().append(true).create(true).open(file);
    let mut opened =
        opened.or_stopped(format!("open({file:?}, O_WRONLY | O_CREAT)"))?;
    writeln!(opened, "{text}").or_stopped("write()")?;
    Ok(Outcome::Worked(format!("{text:?} is in {file}")))
}
