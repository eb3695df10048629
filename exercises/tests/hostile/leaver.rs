//! Does what `chroot` asks, and leaves a mount and another name on the host.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::mount::{MsFlags, mount};

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let none = None::<&str>;
    // /mnt may be a mount itself.
    std::fs::create_dir_all("/mnt/left")?;
    mount(Some("left"), "/mnt/left", Some("tmpfs"), MsFlags::empty(), none)?;
    nix::unistd::sethostname("left")?;
    nix::unistd::chroot(&*args[0])?;
    nix::unistd::chdir("/")?;
    Err(Command::new(&args[1]).args(&args[2..]).exec().into())
}
