//! Reads a secret from the host's session keyring. Keyrings are no namespace:
//! a process inherits its session's, and whoever has a keyring has its keys,
//! however many other walls lie between.

use std::io;

use linux_keyutils::{KeyRing, KeyRingIdentifier};

use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, StoppedBy, Try,
};
use crate::door;

pub const ATTACK: Attack = Attack {
    name: "read-keyring",
    tries: "read a secret from the host's session keyring",
    stopped: StoppedBy::Step(9),
    rule: "the session keyring is a new one, and keyctl is refused",
    source: "session-keyring(7), KEYCTL_JOIN_SESSION_KEYRING(2const)",
    arguments: &[Argument::new(
        "NAME",
        "secret",
        "its key; there: keyctl add user secret hidden @s",
    )],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let name = arguments.text("NAME")?;
    let keyring = session()?;
    let key = keyring
        .search(name)
        .map_err(|_| io::Error::last_os_error())
        .or_stopped(format!("keyctl(KEYCTL_SEARCH, @s, \"user\", {name:?})"))?;
    let secret = key
        .read_to_vec()
        .map_err(|_| io::Error::last_os_error())
        .or_stopped("keyctl(KEYCTL_READ)")?;
    let secret = String::from_utf8_lossy(&secret).escape_debug().to_string();
    Ok(Outcome::Worked(format!("the host's key {name:?} holds: {secret}")))
}

/// The one that we were born with.
pub fn session() -> Result<KeyRing, Ended> {
    let found = KeyRing::from_special_id(KeyRingIdentifier::Session, false);
    door::open(
        "keyctl(KEYCTL_GET_KEYRING_ID, @s)",
        "keys",
        found.map_err(|_| io::Error::last_os_error()),
    )
}
