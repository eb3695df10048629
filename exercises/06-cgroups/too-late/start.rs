//! too-late CGROUP FILE LIMIT COMMAND ARG...
//!
//! Runs COMMAND in CGROUP, with LIMIT bytes of memory.

use std::fs::write;
use std::path::PathBuf;
use std::process::{Command, exit};

use anyhow::Context;

// TODO: COMMAND runs for a while without any limit. Close that gap.
fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let cgroup = args.next().context("CGROUP is missing")?;
    let file = args.next().context("FILE is missing")?;
    let limit = args.next().context("LIMIT is missing")?;
    let command = args.next().context("COMMAND is missing")?;
    let cgroup = PathBuf::from(cgroup);

    let mut child = Command::new(command).args(args).spawn()?;
    let pid = child.id().to_string();
    write(cgroup.join("cgroup.procs"), pid).context("join")?;
    write(cgroup.join(file), limit).context("limit")?;
    exit(child.wait()?.code().unwrap_or(1));
}
