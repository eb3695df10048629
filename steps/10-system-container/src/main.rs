#![forbid(unsafe_code)]
//! A machine in a container: an init, its services, and containers in it.

use std::process::ExitCode;

use cgroups::Cgroups;
use clap::Parser;
use image::FromImage;
use least_privilege::{Capabilities, SessionKeyring};
use mount_namespace::{MountNamespace, PivotRoot};
use networking::Network;
use overlayfs::Overlayfs;
use pid_namespace::PidNamespace;
use runtime::Container;
use system_container::{Devices, Init, SystemContainer, kept};
use user_namespace::{LockedMounts, UserNamespace};
use uts_namespace::{IpcNamespace, UtsNamespace};

/// Step 10: a whole machine; without a COMMAND it boots an init
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
    system: SystemContainer,
    #[command(flatten)]
    devices: Devices,
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
        .with(cli.system)
        .with(cli.devices)
        .with(cli.network.named("host0"))
        .with(cli.pivot)
        .with(cli.locks)
        .with(cli.cgroups.delegated())
        .with(SessionKeyring)
        .with(Init)
        .with(cli.capabilities.beginning_with(kept::kept()))
        .run()
}
