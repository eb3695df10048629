//! first-boot NAME INIT ARG...
//!
//! Number 1 of a machine: makes what INIT misses, and becomes INIT.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().context("NAME is missing")?;
    let init = args.next().context("INIT is missing")?;
    println!("{} is about to boot", name.display());

    // TODO: /run is there, but read-only. INIT says what it can't do there.

    let mut init = Command::new(init);
    // TODO: where INIT looks for the name of what it is in, there is none.

    // Returns only when INIT can't be executed.
    Err(init.args(args).exec().into())
}
