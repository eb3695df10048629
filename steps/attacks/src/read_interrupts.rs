//! Reads what /proc tells of the whole machine. It is no process's own, so no
//! namespace divides it: how often each device asked for attention is, for one,
//! when keys are typed.

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "read-interrupts",
    tries: "read in /proc what the machine's devices do",
    stopped: StoppedBy::Step(9),
    rule: "what belongs to no namespace is covered by /dev/null",
    source: "proc_interrupts(5), mount(2) MS_BIND",
    arguments: &[Argument::new("FILE", "interrupts", "below /proc")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let file = arguments.text("FILE")?;
    let text =
        procfs::read(file).or_stopped(format!("open(\"/proc/{file}\")"))?;
    Ok(tell(&format!("/proc/{file}"), &text))
}

/// How much it says, and its last words. A mask says nothing.
pub fn tell(file: &str, text: &str) -> Outcome {
    let last = text.lines().last().unwrap_or_default();
    match last.split_whitespace().last() {
        Some(word) => {
            let lines = text.lines().count();
            Outcome::Worked(format!("{file} has {lines} lines, to … {word}"))
        }
        None => Outcome::Stopped(format!("{file} is empty")),
    }
}
