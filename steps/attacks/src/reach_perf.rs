//! Opens a performance counter, of ourselves and of nobody else: that needs no
//! capability, and leads into one of the kernel's largest system calls.

use perf_event::Builder;
use perf_event::events::Software;

use crate::attack::{Arguments, Attack, Outcome, STAY, StoppedBy, Try};
use crate::door;

pub const ATTACK: Attack = Attack {
    name: "reach-perf",
    tries: "open a performance counter on itself",
    stopped: StoppedBy::Step(9),
    rule: "perf_event_open is refused to whoever lacks CAP_PERFMON",
    source: "perf_event_open(2), CVE-2013-2094, seccomp(2)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let counter = Builder::new().kind(Software::TASK_CLOCK).build();
    let call = "perf_event_open(PERF_COUNT_SW_TASK_CLOCK)";
    let counter = door::open(call, "perf events", counter)?;
    // It stays open as long as we do: somebody may want to look.
    std::mem::forget(counter);
    Ok(Outcome::Worked("a counter is ours: /proc/PID/fd shows it".into()))
}
