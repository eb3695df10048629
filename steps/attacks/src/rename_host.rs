//! Renames the machine. The hostname belongs to the UTS namespace, and without
//! one of its own a container has the host's.

use nix::unistd::{gethostname, sethostname};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "rename-host",
    tries: "give the host another name",
    stopped: StoppedBy::Step(2),
    rule: "sethostname changes the name of the caller's UTS namespace only",
    source: "uts_namespaces(7)",
    arguments: &[
        Argument::new("NEW", "pwned", "the new name"),
        Argument::new(
            "OLD",
            "",
            "the host's name now [default: any but `container`]",
        ),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let new = arguments.text("NEW")?;
    let before = gethostname().or_stopped("gethostname()")?;
    let before = before.to_string_lossy();
    sethostname(new).or_stopped(format!("sethostname({new:?})"))?;
    // A namespace does not say whose it is. The name that was there does.
    let of_the_host = match arguments.text("OLD")? {
        "" => before != "container",
        old => before == old,
    };
    Ok(match of_the_host {
        true => Outcome::Worked(format!("{before:?} is now {new:?}")),
        false => Outcome::Stopped(format!(
            "only a copy was renamed: it was called {before:?}"
        )),
    })
}
