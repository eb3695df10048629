//! Attacks on the machine itself are tried only in the lab, whose machine is
//! thrown away after each run.

use testbed::needs::LAB_WORD;

use crate::attack::{Ended, OrStopped, Outcome};
use crate::procfs;

/// The kernel says how it was started, in every container as well.
pub fn require() -> Result<(), Ended> {
    let words =
        procfs::read("cmdline").or_stopped("open(\"/proc/cmdline\")")?;
    match words.split_whitespace().any(|word| word == LAB_WORD) {
        true => Ok(()),
        false => Err(Outcome::CannotTry(
            "this harms a machine: only in the lab (./scripts/lab.sh)".into(),
        )
        .into()),
    }
}
