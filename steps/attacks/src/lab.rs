//! Attacks on the machine itself are tried only in the lab, whose machine is
//! thrown away after each run.

use std::env;

use testbed::needs::LAB_WORD;

use crate::attack::{Ended, OrStopped, Outcome};
use crate::procfs;

/// How the lab's boot is named where its word is covered.
pub const LAB_BOOT: &str = "ATTACK_LAB_BOOT";

/// The kernel says how it was started, in every container below step 09.
pub fn require() -> Result<(), Ended> {
    let words =
        procfs::read("cmdline").or_stopped("open(\"/proc/cmdline\")")?;
    match words.split_whitespace().any(|word| word == LAB_WORD) || is_named() {
        true => Ok(()),
        false => Err(Outcome::CannotTry(
            "this harms a machine: only in the lab (./scripts/lab.sh)".into(),
        )
        .into()),
    }
}

/// Whether somebody outside has looked, and says that this boot of this machine
/// is the lab's. No other boot has its number.
fn is_named() -> bool {
    let number = procfs::read("sys/kernel/random/boot_id").unwrap_or_default();
    !number.is_empty() && env::var(LAB_BOOT).as_deref() == Ok(number.trim())
}
