//! What `--network` asks for, and what an ordinary user can't have.

use anyhow::{Result, bail};
use clap::ValueEnum;
use nix::errno::Errno;
use runtime::Failure;

use crate::Network;
use crate::port::{self, Published, Reserved};

/// Which network is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// An address behind the host, on a switch that all containers share.
    Bridge,
    /// The loopback, and nothing else.
    None,
    /// No namespace: the host's own network.
    Host,
}

/// # Errors
/// When ports shall be published, and nothing could lead to them.
pub fn must_fit(network: Option<Mode>, ports: &[Published]) -> Result<()> {
    match (network, ports.first()) {
        (Some(Mode::Host | Mode::None), Some(port)) => {
            bail!("-p {port}: needs --network bridge")
        }
        _ => port::each_once(ports),
    }
}

/// Whether the kernel refused it to us, as it does to an ordinary user.
pub fn is_refused(done: &Result<()>) -> bool {
    let refused = done.as_ref().err().and_then(|error| error.downcast_ref());
    matches!(
        refused,
        Some(Failure::Call { errno: Errno::EPERM | Errno::EACCES, .. })
    )
}

/// What the way out is called inside.
#[derive(Debug, Clone, Copy)]
pub struct Device(pub &'static str);

impl Default for Device {
    fn default() -> Device {
        Device("eth0")
    }
}

impl Network {
    /// The loopback, and nothing else, as with `--network none`.
    #[must_use]
    pub fn alone() -> Network {
        Network {
            network: Some(Mode::None),
            publish: vec![],
            device: Device::default(),
            reserved: Reserved::default(),
            place: None,
            pasta: None,
        }
    }

    /// The same, and the way out has this name inside.
    #[must_use]
    pub fn named(self, device: &'static str) -> Network {
        Network { device: Device(device), ..self }
    }
}
