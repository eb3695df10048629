//! What `--user` asks for.

use anyhow::{Result, bail};
use nix::unistd::{Gid, Uid};

/// `UID` or `UID:GID`. Without a group it is 0, as with docker.
pub fn parse(text: &str) -> Result<(Uid, Gid)> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => bail!(
            "a user is UID or UID:GID, in numbers: the names are the host's"
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_user_that_is_taken_was_typed_in_digits(
            text in prop_oneof![any::<String>(), "[-+0-9a-z]{0,11}(:[-+0-9a-z]{0,11})?"]
        ) {
            if let Ok((uid, gid)) = parse(&text) {
                let (first, second) = text.split_once(':').unwrap_or((&text, "0"));
                for (typed, id) in [(first, uid.as_raw()), (second, gid.as_raw())] {
                    let digits = typed.strip_prefix('+').unwrap_or(typed);
                    prop_assert_eq!(format!("{id:0>width$}", width = digits.len()), digits);
                }
            }
        }

        #[test]
        fn every_user_is_read(uid: u32, gid: u32) {
            let (both, one) = (parse(&format!("{uid}:{gid}")), parse(&uid.to_string()));
            prop_assert_eq!(both.unwrap(), (Uid::from_raw(uid), Gid::from_raw(gid)));
            prop_assert_eq!(one.unwrap(), (Uid::from_raw(uid), Gid::from_raw(0)));
        }
    }
}
