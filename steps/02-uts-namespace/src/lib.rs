#![forbid(unsafe_code)]
//! A hostname of its own, and System V IPC of its own.
//!
//! A UTS namespace
//! ([uts_namespaces(7)](https://man7.org/linux/man-pages/man7/uts_namespaces.7.html))
//! holds the hostname: before it, whoever renames the container renames the
//! host. Its two-line twin, the IPC namespace
//! ([ipc_namespaces(7)](https://man7.org/linux/man-pages/man7/ipc_namespaces.7.html)),
//! holds shared memory segments, semaphores and message queues: before it,
//! those of the host lie open.

use anyhow::Result;
use nix::sched::CloneFlags;
use nix::unistd::sethostname;
use runtime::{Feature, Inside, shell};

/// The longest hostname that the kernel keeps, in bytes (`__NEW_UTS_LEN`).
const LONGEST: usize = 64;

/// A hostname of its own.
#[derive(Debug, clap::Args)]
pub struct UtsNamespace {
    /// Hostname inside the container
    #[arg(long, value_name = "NAME", default_value = "container", value_parser = hostname)]
    hostname: String,
}

impl UtsNamespace {
    /// As `--hostname` makes it.
    ///
    /// # Errors
    /// When it is no hostname.
    pub fn named(name: &str) -> Result<UtsNamespace, String> {
        Ok(UtsNamespace { hostname: hostname(name)? })
    }
}

impl Feature for UtsNamespace {
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::CLONE_NEWUTS
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        let name = &self.hostname;
        container.call(
            format!("sethostname({name:?})"),
            "the new namespace began with a copy of the host's name",
            shell(["hostname", name]),
            || sethostname(name),
        )?;
        Ok(())
    }
}

/// Shared memory, semaphores and message queues of its own: a new namespace
/// begins without any, so there is nothing else to do.
#[derive(Debug, clap::Args)]
pub struct IpcNamespace {}

impl Feature for IpcNamespace {
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::CLONE_NEWIPC
    }
}

/// The kernel takes an empty name, and cuts nothing: it refuses a longer one.
fn hostname(name: &str) -> Result<String, String> {
    match name.len() {
        1..=LONGEST => Ok(name.to_owned()),
        length => Err(format!(
            "a hostname has 1 to {LONGEST} bytes; this one has {length}"
        )),
    }
}
