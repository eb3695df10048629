//! Has the kernel swap to a file of the container's: what is in everybody
//! else's memory ends up there, to be read and changed.

use nix::libc::SYS_swapon;

use crate::attack::{Argument, Arguments, Attack, Outcome, StoppedBy, Try};
use crate::{lab, perl};

pub const ATTACK: Attack = Attack {
    name: "swapon",
    tries: "swap the machine's memory to a file of the container",
    stopped: StoppedBy::Step(5),
    rule: "swapon needs CAP_SYS_ADMIN in the first user namespace",
    source: "swapon(2), user_namespaces(7)",
    arguments: &[Argument::new(
        "FILE",
        "/swap",
        "made by mkswap, brought along as by an image",
    )],
    run,
};

const SCRIPT: &str = "
    my ($number, $file) = @ARGV;
    print syscall($number + 0, $file, 0) ? $! + 0 : 0;
";

fn run(arguments: &Arguments) -> Try {
    lab::require()?;
    let file = arguments.text("FILE")?;
    let call = format!("swapon({file:?})");
    perl::syscall(&call, SCRIPT, &[&SYS_swapon.to_string(), file])?;
    Ok(Outcome::Worked(format!("the machine swaps to {file}")))
}
