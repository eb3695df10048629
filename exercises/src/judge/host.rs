//! The host that a program acts on. It has mounts of its own, all of them
//! shared, as systemd makes them on nearly every machine. The judge has others:
//! whoever takes the host's root away does not take the judge's.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use testbed::{eventually, proc};

/// A process that does nothing, and holds the host's mounts.
#[derive(Debug)]
pub struct Host(Child);

impl Host {
    pub fn start() -> Result<Host> {
        let holder = Command::new("unshare")
            .args(["--mount", "--propagation", "shared", "sleep", "infinity"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start unshare")?;
        let host = Host(holder);
        eventually("the host", || {
            let at_work = proc::exe(host.pid()).is_some_and(|exe| {
                exe.file_name().is_some_and(|name| name != "unshare")
            });
            (at_work
                && proc::namespace(host.pid(), "mnt")
                    != proc::own_namespace("mnt"))
            .then_some(())
        });
        Ok(host)
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
