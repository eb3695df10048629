//! Step 09: keys, which no namespace divides.

use linux_keyutils::{Key, KeyRing, KeyRingIdentifier};
use testbed::token;

use crate::places::{Impossible, Place, Verdict, impossible, judge, stdout};

/// The host's, for whatever this thread starts. Where the host has none yet,
/// as without a login, one begins here.
fn session() -> Result<KeyRing, Impossible> {
    let session = KeyRing::from_special_id(KeyRingIdentifier::Session, true);
    session.or_else(|error| {
        impossible(format!("there is no session keyring to be had: {error}"))
    })
}

/// A key of the host's, gone with this.
struct Planted(KeyRing, Key);

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = self.0.unlink_key(self.1);
    }
}

pub fn read_keyring(place: Place) -> Verdict {
    let (keyring, name, secret) = (session()?, token(), token());
    let key = keyring.add_key(&name, &secret).expect("plant a secret");
    let _planted = Planted(keyring, key);
    let output = place.attack("read-keyring", &[&name]);
    judge(&output, stdout(&output).contains(&secret))
}

/// The host looks where it would look for its own.
pub fn plant_key(place: Place) -> Verdict {
    let (keyring, name, word) = (session()?, token(), token());
    let output = place.attack("plant-key", &[&name, &word]);
    let found = keyring.search(&name).map(|key| Planted(keyring, key));
    let held = found.ok().and_then(|found| found.1.read_to_vec().ok());
    judge(&output, held.is_some_and(|held| held == word.as_bytes()))
}
