//! Counts as fast as it can, and says how much of a processor it got.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "hog-cpu",
    tries: "use a whole processor",
    stopped: StoppedBy::Option(6, "--cpus"),
    rule: "a cgroup that has used up its cpu.max waits",
    source: "cgroups(7), cgroup-v2.rst: cpu.max",
    arguments: &[
        Argument::new("SECONDS", "3", "how long"),
        Argument::new(
            "PERCENT",
            "75",
            "how much of a processor is a success, on an idle machine",
        ),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let seconds = Duration::from_secs(arguments.number("SECONDS")?);
    let percent: u128 = arguments.number("PERCENT")?;
    let start = Instant::now();
    let mut loops = 0_u64;
    while start.elapsed() < seconds {
        loops = std::hint::black_box(loops + 1);
    }
    let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .or_stopped("clock_gettime()")?;
    let share = Duration::from(used).as_millis() * 100
        / start.elapsed().as_millis().max(1);
    let text = format!("{loops} loops, {share} % of a processor");
    Ok(match share > percent {
        true => Outcome::Worked(text),
        false => Outcome::Stopped(text),
    })
}
