//! Who the command of an image is.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::Image;

impl Image {
    /// The ids with which its command begins.
    ///
    /// # Errors
    /// When it has no such user or group.
    pub fn user(&self) -> Result<(u32, u32)> {
        let text = self.config.user.as_deref().unwrap_or_default();
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let found = match user.parse() {
            _ if user.is_empty() => (0, 0),
            Ok(uid) => (uid, 0),
            Err(_) => self.ids(user, "etc/passwd")?,
        };
        let gid = match group.map(|it| (it, it.parse())) {
            None => found.1,
            Some((_, Ok(gid))) => gid,
            Some((name, Err(_))) => self.ids(name, "etc/group")?.0,
        };
        Ok((found.0, gid))
    }

    /// The third and fourth field of a name's line.
    fn ids(&self, name: &str, file: &str) -> Result<(u32, u32)> {
        // The image's own file, not one of the host's that a link leads to.
        let found = self.layers.find(Path::new(file));
        let Some((path, _)) = found.filter(|(_, there)| there.is_file()) else {
            bail!("the image's user {name:?} is in no file of the image")
        };
        for line in fs::read_to_string(&path)?.lines() {
            let fields: Vec<_> = line.split(':').collect();
            if let [first, _, id, rest @ ..] = &fields[..] {
                if *first == name {
                    let other = rest.first().and_then(|it| it.parse().ok());
                    return Ok((id.parse()?, other.unwrap_or(0)));
                }
            }
        }
        bail!("the image's user or group {name:?} is not in its {file}")
    }
}
