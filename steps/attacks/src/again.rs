//! Starting ourselves again: fork(2) has no safe binding, execve(2) does.

use std::ffi::OsStr;
use std::process::Command;

/// Tells the new process what it is for.
const ROLE: &str = "ATTACK_ROLE";

/// This program, as a child with a part of its own in an attack.
pub fn again(attack: &str, role: &str) -> Command {
    // Not /proc/self/exe: below step 04 a container has no /proc.
    let program = std::env::args_os().next().unwrap_or("attack".into());
    by(program, attack, role)
}

/// The same by a copy of this program.
pub fn by(program: impl AsRef<OsStr>, attack: &str, role: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(attack).env(ROLE, role);
    command
}

/// The part that we play, if we are such a child.
#[must_use]
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}
