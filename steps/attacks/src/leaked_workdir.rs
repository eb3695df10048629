//! Starts outside: a runtime that was told `--workdir /proc/self/fd/N`, and
//! has a directory of the host open as N, puts the command there.

use crate::attack::{Arguments, Attack, FILE, Outcome, StoppedBy, Try};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "leaked-workdir",
    tries: "climb from a working directory that --workdir /proc/self/fd/N set",
    stopped: StoppedBy::Runtime,
    rule: "getcwd is called after chdir: a directory outside / has no path",
    source: "CVE-2024-21626, getcwd(2)",
    arguments: &[FILE],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let root = outside::look("/")?;
    match outside::climb(root)? {
        true => outside::read(arguments.text("FILE")?),
        false => {
            Ok(Outcome::Stopped("the working directory is below /".into()))
        }
    }
}
