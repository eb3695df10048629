#![forbid(unsafe_code)]
//! The container so far: its own root directory, hostname, IPC and processes.

use std::process::ExitCode;

use chroot::Chroot;
use clap::Parser;
use pid_namespace::PidNamespace;
use runtime::Container;
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 03: as 02, and with process ids of its own
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
    pid: PidNamespace,
    #[command(flatten)]
    chroot: Chroot,
}

fn main() -> ExitCode {
    let cli: Cli = runtime::parse();
    cli.container
        .with(cli.uts)
        .with(cli.ipc)
        .with(cli.pid)
        .with(cli.chroot)
        .run()
}
