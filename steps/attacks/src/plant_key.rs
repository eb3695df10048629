//! Puts a key where the host's own programs look for theirs. The kernel keeps
//! it, and hands it out as if the host had put it there.

use std::io;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::read_keyring;

pub const ATTACK: Attack = Attack {
    name: "plant-key",
    tries: "put a key into the host's session keyring",
    stopped: StoppedBy::Step(9),
    rule: "the session keyring is a new one, and add_key is refused",
    source: "add_key(2), keyrings(7), seccomp(2)",
    arguments: &[
        Argument::new("NAME", "planted", "there: keyctl print %user:planted"),
        Argument::new("TEXT", "pwned", "what it holds"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (name, text) = (arguments.text("NAME")?, arguments.text("TEXT")?);
    read_keyring::session()?
        .add_key(name, text)
        .map_err(|_| io::Error::last_os_error())
        .or_stopped(format!("add_key(\"user\", {name:?}, …, @s)"))?;
    Ok(Outcome::Done(format!("planted. There: keyctl print %user:{name}")))
}
