//! No claim waits for ever. One that hangs fails by its name, and those after
//! it are judged.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{needs, proc, record, slowness};

/// How long a claim may take where nothing else runs. `CLAIM_SECONDS` in the
/// environment asks for another limit.
fn limit() -> Duration {
    let asked = std::env::var("CLAIM_SECONDS").ok();
    let asked = asked.and_then(|seconds| seconds.parse().ok());
    let usual = if needs::is_emulated() { 420 } else { 180 };
    Duration::from_secs(asked.unwrap_or(usual))
}

/// How many programs share a processor now, up to three: a busy machine is slow,
/// and no claim is about that. Three times a limit is still less than test.sh
/// waits for the next word of a binary. An emulated machine sees nothing of who
/// shares its processor, but how long its own programs take.
#[must_use]
pub fn crowd() -> u32 {
    const EMULATED: f64 = 30.0;
    if needs::is_emulated() {
        return ((slowness() / EMULATED) as u32).clamp(1, 3);
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split('.').next().and_then(|it| it.parse().ok());
    let processors = available_parallelism().map_or(1, usize::from) as u32;
    (load.unwrap_or(0) / processors).clamp(1, 3)
}

/// How long a claim waits for the next word of a program.
#[must_use]
pub fn patience() -> Duration {
    limit() / 6
}

/// Asks until the answer is there. What the kernel does at its own pace can't
/// be judged at the first look.
///
/// # Panics
/// When twenty seconds have not been enough; sixty, where the processor is
/// emulated; up to three times as long on a machine that is busy then.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let mut within = |seconds| {
        loop {
            if let Some(answer) = ask() {
                return Some(answer);
            }
            if begin.elapsed() > Duration::from_secs(seconds) {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    };
    let seconds = if needs::is_emulated() { 60 } else { 20 };
    within(seconds)
        .or_else(|| within(seconds * u64::from(crowd())))
        .unwrap_or_else(|| {
            panic!("not within {} s: {what}", begin.elapsed().as_secs())
        })
}

/// Runs a claim: how it ended, and whether it had to be helped. What it waits
/// for is in the end a process that it has started: when its time is up, all of
/// them are killed. Where even that does not end it, everything ends.
pub(crate) fn watched(
    name: &'static str,
    claim: fn(),
) -> (thread::Result<()>, bool) {
    let (ended, end) = channel::<()>();
    let guard = thread::spawn(move || {
        let in_time =
            |limit| end.recv_timeout(limit) != Err(RecvTimeoutError::Timeout);
        if in_time(limit()) || in_time(limit() * (crowd() - 1)) {
            return false;
        }
        kill_all_below(std::process::id() as i32);
        if end.recv_timeout(patience()) == Err(RecvTimeoutError::Timeout) {
            let told = "it hangs, and waits for no process of its own";
            record::tell(name, "fail", told);
            eprintln!("\n{name}: {told}");
            exit(101);
        }
        true
    });
    let result = catch_unwind(AssertUnwindSafe(claim));
    drop(ended);
    (result, guard.join().expect("the guard of a claim"))
}

fn kill_all_below(pid: i32) {
    let parent = |pid: i32| proc::status(pid, "PPid")?.parse::<i32>().ok();
    let all = proc::all().into_iter().map(|pid| (pid, parent(pid)));
    let all: Vec<_> = all.collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let is_child = |(_, its): &&(i32, Option<i32>)| *its == Some(parent);
        found.extend(all.iter().filter(is_child).map(|(pid, _)| *pid));
        next += 1;
    }
    for pid in &found[1..] {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}
