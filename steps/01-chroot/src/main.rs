#![forbid(unsafe_code)]
//! The container so far: a process with another root directory.

use std::process::ExitCode;

use chroot::Chroot;
use clap::Parser;
use runtime::Container;

/// Step 01: run a command with a root directory of its own
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    container: Container,
    #[command(flatten)]
    chroot: Chroot,
}

fn main() -> ExitCode {
    let cli: Cli = runtime::parse();
    cli.container.with(cli.chroot).run()
}
