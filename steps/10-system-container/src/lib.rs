#![forbid(unsafe_code)]
//! A whole machine.
//!
//! So far a container was made for one program. Now it gets what a machine has:
//! an init, which starts services, lets people log in, and makes containers of
//! its own. Such an init wants to mount, to divide its cgroup and to become
//! other users. So it keeps the powers that step 09 takes away, and the user
//! namespace is the wall: they count inside, and nowhere else.
//!
//! What an init expects to find is written down in
//! [systemd's Container Interface](https://systemd.io/CONTAINER_INTERFACE/).

mod device;
mod etc;
mod init;
pub mod kept;
mod machine_id;
mod own_root;

use std::ffi::OsString;

use anyhow::Result;
use mount_namespace::{Mount, NewRoot};
use nix::mount::MsFlags;
use nix::unistd::{Gid, Pid, Uid};
use runtime::process::Exit;
use runtime::{Boot, End, Feature, Inside, Narrator, RootDirectory, Variable};

pub use device::Devices;
pub use init::StopSignal;

/// What an init finds, and how the runtime looks after it.
#[derive(Debug, clap::Args)]
pub struct SystemContainer {
    /// Signal that asks the init to stop [default: the one that it knows]
    #[arg(long, value_name = "SIGNAL", value_parser = init::parse)]
    stop_signal: Option<StopSignal>,

    /// The root directory is ours: the host's /usr and a few files.
    #[arg(skip)]
    own: Option<own_root::Source>,
}

impl Feature for SystemContainer {
    fn root_directory(
        &mut self,
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<Option<RootDirectory>> {
        let (source, root) = own_root::open(runtime, owner)?;
        self.own = Some(source);
        Ok(root)
    }

    fn boot(&self, command: &[OsString]) -> Option<&dyn Boot> {
        init::is_one(command).then_some(self)
    }

    // Before the pivot, while the host's /usr can be seen, and before volumes,
    // which cover what is mounted here.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let root = NewRoot::ahead(container)?;
        if let Some(source) = &self.own {
            source.mount(container, &root)?;
        }
        let tmpfs = |mode| {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            Mount::new("tmpfs", flags, mode)
        };
        let run = root.system_directory("run")?;
        let why = "empty at boot";
        tmpfs("mode=755").make(container, run, why)?;
        let tmp = root.system_directory("tmp")?;
        tmpfs("mode=1777").make(container, tmp, why)?;
        machine_id::give_one(container, &root)?;
        if container.boots {
            container.note("container=workshop: an init reads where it is");
        }
        container.variables.push(Variable::new("container", "workshop"));
        Ok(())
    }
}

/// The init itself, once the new root is entered.
#[derive(Debug)]
pub struct Init;

impl Feature for Init {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if container.boots {
            container.default_command = init::find(&container.command)?;
        }
        Ok(())
    }
}

impl Boot for SystemContainer {
    fn stop_signal(&self, first: Pid) -> i32 {
        self.stop_signal.unwrap_or_else(|| init::stop_signal_of(first)).0
    }

    fn where_to_look(&self, first: Pid) -> String {
        init::where_to_look(first)
    }

    // In a PID namespace reboot(2) ends PID 1, by a signal that says which way
    // (reboot(2), "Behavior inside PID namespaces").
    fn end(&self, exit: Exit) -> End {
        init::end(exit)
    }
}

/// Where a program inside looks for the id of its machine.
const MACHINE_ID: &str = "/etc/machine-id";
