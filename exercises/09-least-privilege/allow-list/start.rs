//! allow-list PROFILE COMMAND ARG...
//!
//! Runs COMMAND, and writes the seccomp profile that it needs to PROFILE.

use std::process::{Command, exit};

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [profile, command, args @ ..] = &args[..] else {
        bail!("allow-list PROFILE COMMAND ARG...");
    };
    eprintln!("what {command} calls is to be in {profile}");

    // TODO: watch it, and write the profile.
    let status = Command::new(command).args(args).status()?;
    exit(status.code().unwrap_or(1));
}
