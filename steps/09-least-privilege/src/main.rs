#![forbid(unsafe_code)]
//! The whole container, and root inside has no more than it needs.

use std::process::ExitCode;

use cgroups::Cgroups;
use clap::Parser;
use image::FromImage;
use least_privilege::{Capabilities, SecurityOptions, SessionKeyring};
use mount_namespace::{MountNamespace, PivotRoot};
use networking::Network;
use overlayfs::Overlayfs;
use pid_namespace::PidNamespace;
use runtime::Container;
use user_namespace::{LockedMounts, UserNamespace};
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 09: as 08, and root inside has no more than it needs
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
    #[command(flatten)]
    capabilities: Capabilities,
    #[command(flatten)]
    security: SecurityOptions,
}

fn main() -> ExitCode {
    let cli: Cli = runtime::parse();
    let kept = cli.capabilities.kept();
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
        .with(SessionKeyring)
        .with(cli.security.system_paths())
        .with(cli.capabilities)
        .with(cli.security.no_new_privileges())
        .with(cli.security.seccomp(kept))
        .run()
}
