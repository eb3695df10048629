//! Judges the claims of a test binary, one after the other.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::needs::{self, Skip};
use crate::{patience, proc, record};

/// What [`main!`](crate::main) calls.
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
    let begun = Instant::now();
    let (result, hung) = patience::watched(name, claim);
    let text = match result.map_err(|thrown| thrown.downcast::<Skip>()) {
        Err(Ok(skip)) if !hung => {
            record::tell(name, "skip", &skip.0);
            return Ok(Completion::ignored_with(format!("SKIP: {}", skip.0)));
        }
        Ok(()) if !hung => {
            let took = format!("{:.1} s", begun.elapsed().as_secs_f64());
            record::tell(name, "pass", &took);
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
