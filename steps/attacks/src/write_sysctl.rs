//! Opens a kernel parameter for writing. With core_pattern, the kernel would
//! run a program of our choice as the host's root at the next crash. It is
//! opened, and nothing is written.

use nix::fcntl::OFlag;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "write-sysctl",
    tries: "open a kernel parameter for writing (nothing is written)",
    stopped: StoppedBy::Step(5),
    rule: "only the first user namespace's root may write /proc/sys/kernel",
    source: "proc_sys_kernel(5), core(5), user_namespaces(7)",
    arguments: &[Argument::new(
        "NAME",
        "kernel/core_pattern",
        "below /proc/sys",
    )],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let name = arguments.text("NAME")?;
    procfs::open(&format!("sys/{name}"), OFlag::O_WRONLY)
        .or_stopped(format!("open(\"/proc/sys/{name}\", O_WRONLY)"))?;
    Ok(Outcome::Worked(format!("/proc/sys/{name} is open for writing")))
}
