//! break-out FILE
//!
//! Begins as root in a chroot. Reads FILE, which is on the host.

use std::fs::read_to_string;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("FILE is missing")?;

    // TODO: get out, and make the host's / yours again.

    match read_to_string(&file) {
        Ok(text) => println!("{file}: {text}"),
        Err(error) => eprintln!("{file}: {error}"),
    }
    // The checker looks where we are now.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
