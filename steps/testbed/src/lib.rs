#![forbid(unsafe_code)]
//! Runs a step's binary and looks at it from outside: what the kernel says of
//! it in /proc, not what it says of itself.
//!
//! A test binary is a list of claims, each a function that panics if the claim
//! does not hold, and that calls one of [`needs`] first if it can't be judged
//! everywhere:
//!
//! ```ignore
//! testbed::main!(the_host_keeps_its_name, pid_1_reaps_orphans);
//!
//! fn the_host_keeps_its_name() {
//!     needs::root();
//!     let container = Step::new("02-uts-namespace").args(["--hostname", "box"]).start();
//!     assert_ne!(proc::namespace(container.pid(), "uts"), proc::own_namespace("uts"));
//! }
//! ```
//!
//! Claims of one binary run one after the other: each may compare the whole
//! host before and after.

pub mod host;
pub mod needs;
mod patience;
pub mod proc;
pub mod record;
mod said;
mod step;
mod terminal;
pub mod watch;

use std::os::unix::process::CommandExt;
use std::panic;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

pub use patience::patience;
pub use step::{Running, Step, binary, copy_default_root};
pub use terminal::Terminal;

/// The steps that share one contract on the command line, whatever kernel
/// features they use.
pub const STEPS: [&str; 4] =
    ["01-chroot", "02-uts-namespace", "03-pid-namespace", "04-mount-namespace"];

/// The claims of a test binary, and its `main`. One that is forgotten here is
/// dead code, which the compiler reports.
#[macro_export]
macro_rules! main {
    ($($claim:ident),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::run(&[$((stringify!($claim), $claim as fn())),+])
        }
    };
}

/// Thrown by a claim that can't be judged here.
struct Skip(String);

/// Ends the running claim as skipped, loudly: neither passed nor failed.
pub fn skip(reason: impl Into<String>) -> ! {
    panic::resume_unwind(Box::new(Skip(reason.into())))
}

/// What [`main!`] calls.
#[must_use]
pub fn run(claims: &[(&'static str, fn())]) -> ExitCode {
    begin_with_default_signals();
    begin_with_mounts_of_our_own();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trial = |&(name, claim): &(&'static str, fn())| {
        Trial::ignorable_test(name, move || judge(name, claim))
    };
    libtest_mimic::run(&arguments, claims.iter().map(trial).collect())
        .exit_code()
}

fn judge(name: &'static str, claim: fn()) -> Result<Completion, Failed> {
    record::begin(name);
    let (result, hung) = patience::watched(name, claim);
    let text = match result.map_err(|thrown| thrown.downcast::<Skip>()) {
        Err(Ok(skip)) if !hung => {
            record::tell(name, "skip", &skip.0);
            return Ok(Completion::ignored_with(format!("SKIP: {}", skip.0)));
        }
        Ok(()) if !hung => {
            record::tell(name, "pass", "");
            return Ok(Completion::Completed);
        }
        Err(Err(panic)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            text.unwrap_or("panicked").to_owned()
        }
        _ => String::new(),
    };
    let text = match hung {
        true => format!("it hung, and what it had started was killed. {text}"),
        false => text,
    };
    record::tell(name, "fail", &text);
    Err(text.into())
}

/// A caller that ignores signals, as nohup does, or a script for what it starts
/// by `&`, has all our children ignore them, too: then a Ctrl-C that a claim
/// sends would end nothing. env(1) of coreutils can undo that, and starts us
/// again.
fn begin_with_default_signals() {
    const HUP_INT_QUIT: u64 = 0b111;
    let ignored = proc::status(std::process::id() as i32, "SigIgn");
    let ignored = ignored.and_then(|set| u64::from_str_radix(&set, 16).ok());
    let ignores = ignored.unwrap_or(0) & HUP_INT_QUIT != 0;
    if ignores && needs::env_resets_signals() {
        let error = Command::new("env")
            .arg("--default-signal=HUP,INT,QUIT")
            .args(std::env::current_exe())
            .args(std::env::args_os().skip(1))
            .exec();
        panic!("start ourselves again: {error}");
    }
}

/// A copy of the host's mounts, shared as systemd has them: what leaks from a
/// container is seen here, and what others mount meanwhile is not. An ordinary
/// user can't have one.
fn begin_with_mounts_of_our_own() {
    let change = |flags| {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | flags, none)
    };
    if needs::is_root() {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare(CLONE_NEWNS)");
        change(MsFlags::MS_PRIVATE).expect("make the mounts private");
        change(MsFlags::MS_SHARED).expect("make the mounts shared");
    }
}

/// A word that nobody can guess: facts of a test are made at random, so that
/// no program can pass it by saying what is expected.
#[must_use]
pub fn token() -> String {
    let bytes = std::fs::read("/proc/sys/kernel/random/uuid")
        .expect("read a random uuid");
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    format!("t{}", &text[..16])
}

/// The checkout that we are in. It may lie elsewhere than where it was built.
///
/// # Panics
/// When we are in none.
#[must_use]
pub fn checkout() -> PathBuf {
    let here = std::env::current_dir().expect("a working directory");
    let root = here.ancestors().find(|dir| dir.join("steps/testbed").is_dir());
    root.expect("run this somewhere in the checkout").to_owned()
}

/// By how much this machine is slower than a laptop, by the clock of its
/// processor: how long a shell takes for fifty programs. 1 and more. A limit of
/// time is multiplied by it: a virtual machine without KVM needs thirty times
/// as long for everything, and a limit for it alone would be none elsewhere.
///
/// # Panics
/// Without bash.
#[must_use]
pub fn slowness() -> f64 {
    const ON_A_LAPTOP: f64 = 0.1;
    let programs = "for i in {1..50}; do /bin/true; done";
    (Step::shell(programs).cpu_seconds() / ON_A_LAPTOP).max(1.0)
}

/// Asks until the answer is there. What the kernel does at its own pace can't
/// be judged at the first look.
///
/// # Panics
/// When twenty seconds have not been enough; sixty, where the processor is
/// emulated.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let seconds = if needs::is_emulated() { 60 } else { 20 };
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
