#![forbid(unsafe_code)]
//! The container so far: its own hostname, IPC, processes, mounts, and a root
//! that has taken the place of the host's.

use std::process::ExitCode;

use clap::Parser;
use mount_namespace::{MountNamespace, PivotRoot};
use pid_namespace::PidNamespace;
use runtime::Container;
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 04: as 03, and with mounts of its own and a root without a way back
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
    mount: MountNamespace,
    #[command(flatten)]
    pivot: PivotRoot,
}

fn main() -> ExitCode {
    let cli: Cli = runtime::parse();
    cli.container
        .with(cli.uts)
        .with(cli.ipc)
        .with(cli.pid)
        .with(cli.mount)
        .with(cli.pivot)
        .run()
}
