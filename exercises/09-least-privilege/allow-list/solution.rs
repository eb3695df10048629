//! allow-list PROFILE COMMAND ARG...
//!
//! Runs COMMAND, and writes the seccomp profile that it needs to PROFILE.

use std::collections::BTreeSet;
use std::fs::{read_to_string, write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

type Calls = BTreeSet<&'static str>;

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match &args[..] {
        [part, command, args @ ..] if part == "traced" => {
            ptrace::traceme().context("PTRACE_TRACEME")?;
            Err(Command::new(command).args(args).exec().into())
        }
        [file, command @ ..] if !command.is_empty() => {
            let calls = watch(command)?;
            write(file, profile(&calls)).context("write PROFILE")
        }
        _ => bail!("allow-list PROFILE COMMAND ARG..."),
    }
}

/// What a command calls, itself and by its children.
fn watch(command: &[String]) -> anyhow::Result<Calls> {
    let again =
        Command::new("/proc/self/exe").arg("traced").args(command).spawn()?;
    let first = Pid::from_raw(again.id() as i32);
    let begins = waitpid(first, None)?;
    ensure!(
        begins == WaitStatus::Stopped(first, Signal::SIGTRAP),
        "it does not begin: {begins:?}"
    );
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(first, options).context("PTRACE_SETOPTIONS")?;
    ptrace::syscall(first, None).context("PTRACE_SYSCALL")?;

    // Made by whoever loads the filter: with it, the command begins.
    let mut calls = Calls::from(["execve"]);
    loop {
        let (pid, signal) = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                calls.extend(call(pid));
                (pid, None)
            }
            Ok(WaitStatus::PtraceEvent(pid, ..)) => (pid, None),
            // With it a new child begins.
            Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)) => (pid, None),
            Ok(WaitStatus::Stopped(pid, signal)) => (pid, Some(signal)),
            Ok(_) => continue,
            Err(Errno::ECHILD) => return Ok(calls),
            Err(error) => return Err(error.into()),
        };
        // Somebody may have killed it meanwhile.
        match ptrace::syscall(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("PTRACE_SYSCALL"),
        }
    }
}

/// The call at which it has stopped.
fn call(pid: Pid) -> Option<&'static str> {
    let line = read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let number = line.split_whitespace().next()?.parse().ok()?;
    Sysno::new(number).map(|call| call.name())
}

/// All that is not in the list is refused.
fn profile(calls: &Calls) -> String {
    let names: Vec<_> = calls.iter().map(|name| format!("{name:?}")).collect();
    format!(
        r#"{{
  "defaultAction": "SCMP_ACT_ERRNO",
  "syscalls": [{{ "names": [{}], "action": "SCMP_ACT_ALLOW" }}]
}}
"#,
        names.join(", ")
    )
}
