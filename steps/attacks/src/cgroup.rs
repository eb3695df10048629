//! The cgroup that we are in, with the limit for processes, as it is shown here.

use std::path::{Path, PathBuf};

use crate::attack::{Ended, OrStopped, Outcome};
use crate::procfs;

/// Where the cgroups are shown.
const PLACE: &str = "/sys/fs/cgroup";

/// Our own cgroup.
pub struct Own {
    /// Where its tree is shown.
    tree: PathBuf,
    /// Where it lies in its tree, as far as we are told: `/` is the top.
    path: String,
}

impl Own {
    pub fn find() -> Result<Own, Ended> {
        let table = procfs::read("self/cgroup")
            .or_stopped("open(\"/proc/self/cgroup\")")?;
        let lines = table.lines().map(|line| line.splitn(3, ':').skip(1));
        let (mut v1, mut v2) = (None, None);
        for mut line in lines {
            match (line.next(), line.next()) {
                (Some(""), Some(path)) => v2 = Some((PLACE.into(), path)),
                (Some(kind), Some(path))
                    if kind.split(',').any(|it| it == "pids") =>
                {
                    v1 = Some((Path::new(PLACE).join(kind), path));
                }
                _ => {}
            }
        }
        let own = v1.or(v2).map(|(tree, path): (PathBuf, _)| Own {
            tree,
            path: path.to_owned(),
        });
        own.filter(|it| it.directory().join("cgroup.procs").exists())
            .ok_or_else(|| {
                Outcome::CannotTry("no cgroup of ours is shown".into()).into()
            })
    }

    pub fn directory(&self) -> PathBuf {
        self.tree.join(self.path.trim_start_matches('/'))
    }

    /// Above it. From the top, that leads out of the tree, if anywhere.
    pub fn above(&self) -> PathBuf {
        self.directory().join("..")
    }

    pub fn is_the_top(&self) -> bool {
        self.path == "/"
    }
}
