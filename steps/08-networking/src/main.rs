#![forbid(unsafe_code)]
//! The whole container: its own users, hostname, IPC, processes, mounts, root in
//! layers and network, and limits to what it may use.

use std::process::ExitCode;

use cgroups::Cgroups;
use clap::Parser;
use image::FromImage;
use mount_namespace::{MountNamespace, PivotRoot};
use networking::Network;
use overlayfs::Overlayfs;
use pid_namespace::PidNamespace;
use runtime::Container;
use user_namespace::{LockedMounts, UserNamespace};
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 08: as 07, and with a network of its own
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
    image: FromImage,
    #[command(flatten)]
    overlay: Overlayfs,
    #[command(flatten)]
    network: Network,
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
        .with(cli.image)
        .with(cli.overlay)
        .with(cli.network)
        .with(cli.pivot)
        .with(cli.locks)
        .with(cli.cgroups)
        .run()
}
