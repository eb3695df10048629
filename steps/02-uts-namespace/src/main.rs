#![forbid(unsafe_code)]
//! The container so far: its own root directory, hostname and System V IPC.

use std::process::ExitCode;

use chroot::Chroot;
use clap::Parser;
use runtime::Container;
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 02: as 01, and with a hostname and System V IPC of its own
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    container: Container,
    #[command(flatten)]
    uts: UtsNamespace,
    #[command(flatten)]
    ipc: IpcNamespace,
    #[command(flatten)]
    chroot: Chroot,
}

fn main() -> ExitCode {
    let cli: Cli = runtime::parse();
    cli.container.with(cli.uts).with(cli.ipc).with(cli.chroot).run()
}
