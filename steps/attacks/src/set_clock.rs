//! Puts the clock forward. There is one for the whole machine: certificates
//! expire early, and tickets are valid again.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::lab;

pub const ATTACK: Attack = Attack {
    name: "set-clock",
    tries: "set the machine's clock ahead",
    stopped: StoppedBy::Step(5),
    rule: "clock_settime needs CAP_SYS_TIME in the first user namespace",
    source: "clock_settime(2), user_namespaces(7)",
    arguments: &[Argument::new("SECONDS", "3", "by how much")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    lab::require()?;
    let seconds: i64 = arguments.number("SECONDS")?;
    let now =
        clock_gettime(ClockId::CLOCK_REALTIME).or_stopped("clock_gettime()")?;
    clock_settime(ClockId::CLOCK_REALTIME, now + TimeSpec::new(seconds, 0))
        .or_stopped("clock_settime(CLOCK_REALTIME)")?;
    Ok(Outcome::Worked(format!("it is {seconds} s later than it was")))
}
