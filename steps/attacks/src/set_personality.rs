//! Has every program that follows start at addresses that are known: what is
//! random about them is one bit of a process, and programs inherit it.

use nix::sys::personality::{self, Persona};

use crate::attack::{
    Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "set-personality",
    tries: "switch off that programs start at random addresses",
    stopped: StoppedBy::Step(9),
    rule: "personality is refused, except for what programs need",
    source: "personality(2), ADDR_NO_RANDOMIZE, seccomp(2)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    personality::set(Persona::ADDR_NO_RANDOMIZE)
        .or_stopped("personality(ADDR_NO_RANDOMIZE)")?;
    Ok(Outcome::Worked("what we start has known addresses".into()))
}
