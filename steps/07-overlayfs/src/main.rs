#![forbid(unsafe_code)]
//! The container so far: its own users, hostname, IPC, processes, mounts and
//! root in layers, and limits to what it may use.

use std::process::ExitCode;

use cgroups::Cgroups;
use clap::Parser;
use mount_namespace::{MountNamespace, PivotRoot};
use overlayfs::Overlayfs;
use pid_namespace::PidNamespace;
use runtime::Container;
use user_namespace::{LockedMounts, UserNamespace};
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 07: as 06, and with a root directory in layers, whose changes vanish
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    container: Container,
    #[command(flatten)]
    user: UserNamespace,
    #[command(flatten)]
    uts: UtsNamespace,
    #[command(flatten)]
    ipc: IpcNamespace,
    #[command(flatten)]
    pid: PidNamespace,
    #[command(flatten)]
    mount: MountNamespace,
    #[command(flatten)]
    overlay: Overlayfs,
    #[command(flatten)]
    pivot: PivotRoot,
    #[command(flatten)]
    locks: LockedMounts,
    #[command(flatten)]
    cgroups: Cgroups,
}

fn main() -> ExitCode {
    let cli: Cli = runtime::parse();
    cli.container
        .with(cli.user)
        .with(cli.uts)
        .with(cli.ipc)
        .with(cli.pid)
        .with(cli.mount)
        .with(cli.overlay)
        .with(cli.pivot)
        .with(cli.locks)
        .with(cli.cgroups)
        .run()
}
