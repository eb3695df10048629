//! systemd is the one writer of its tree, and delegates a part to whoever asks:
//! a transient scope, in which we begin anew (systemd.scope(5)).

use std::env;
use std::process::Command;

use anyhow::{Context, Result};
use runtime::helper_program;

/// `systemd-run`, with what gives a cgroup that is ours to divide. From systemd
/// 262 on, it reads variables in the command, and puts its own values in their
/// place. Before 254 it has no switch for that, and no need of one. `manager`
/// is `--user` or `--system`.
pub fn words(manager: &str) -> Vec<&str> {
    const NOT_TO_BE_READ: &str = "--expand-environment=no";
    let help = helper_program::run(Command::new("systemd-run").arg("--help"));
    let knows =
        help.is_ok_and(|(_, said)| said.contains("--expand-environment"));
    ["systemd-run", manager, "--scope", "--quiet", "--property=Delegate=yes"]
        .into_iter()
        .chain(knows.then_some(NOT_TO_BE_READ))
        .chain(["--"])
        .collect()
}

/// Those words, and our own command line after them. `asked` is in its
/// environment then: so nobody asks twice.
pub fn anew(words: &[&str], asked: &str) -> Result<Command> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(env::current_exe().context("our own path")?);
    command.args(env::args_os().skip(1)).env(asked, "1");
    Ok(command)
}
