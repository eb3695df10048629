//! The files in /etc that say who exists. They are the inner root's to change.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::internet::SERVER;
use crate::refusal::Lesson;
use crate::view::{View, is_small_file};

/// Writes them into the view.
pub fn write(view: &View, etc: &Path, home: &Path) -> Result<()> {
    own_copies(view, etc)?;
    let put = |name: &str, text: &str| view.file(&etc.join(name), text);
    // A login shell, as tmux starts one, sets PATH anew.
    let profile = etc.join("profile");
    if profile.is_file() {
        let path = runtime::shell([&view.caller.programs]);
        let mut profile = OpenOptions::new().append(true).open(profile)?;
        writeln!(profile, "PATH={path}:$PATH")?;
    }
    put("hostname", "playground\n")?;
    put(
        "hosts",
        &format!(
            "127.0.0.1 localhost playground\n::1 localhost\n{SERVER} internet.example\n"
        ),
    )?;
    put(
        "resolv.conf",
        "# no name server: this internet knows one name, and /etc/hosts has it\n",
    )?;

    let root = format!("root:x:0:0:root:{}:/bin/bash\n", home.display());
    let mut passwd = root + &others("/etc/passwd");
    let mut group = "root:x:0:\n".to_owned() + &others("/etc/group");
    let mut lent = String::new();
    let ids = view.ids.count();
    let first = if ids <= 65_537 { 2000 } else { 65_536 };
    let half = ids.saturating_sub(first) / 2;
    if half > 0 {
        passwd += "learner:x:1000:1000::/run/learner:/bin/bash\n";
        group += "learner:x:1000:\n";
        lent =
            format!("root:{first}:{half}\nlearner:{}:{half}\n", first + half);
        view.directory(&view.path("/run/learner"), 0o755, 1000)?;
    }
    for (name, text) in [
        ("passwd", &passwd),
        ("group", &group),
        ("subuid", &lent),
        ("subgid", &lent),
    ] {
        put(name, text)?;
    }
    Ok(())
}

/// What all may read, as files of the inner root's.
fn own_copies(view: &View, etc: &Path) -> Result<()> {
    for entry in fs::read_dir("/etc").context("readdir(/etc)")?.flatten() {
        // What is gone when we come to it is no error.
        let Ok(about) = fs::symlink_metadata(entry.path()) else { continue };
        if !is_small_file(&about) || about.mode() & 0o004 == 0 {
            continue;
        }
        let Ok(text) = fs::read(entry.path()) else { continue };
        let place = etc.join(entry.file_name());
        // The first change of all tells whether there is an overlay.
        fs::remove_file(&place).map_err(|_| Lesson::of([
            "no overlay can be made here: /etc stays read-only.",
            "Is this a playground in a playground in a playground, or one in a container?",
            "Two overlays can lie on each other, not three. Leave the inner one.",
        ]))?;
        fs::write(&place, text).with_context(|| format!("write({place:?})"))?;
        fs::set_permissions(
            &place,
            Permissions::from_mode(about.mode() & 0o7777),
        )?;
        let times = FileTimes::new().set_modified(about.modified()?);
        File::open(&place)?.set_times(times)?;
        view.give(&place, 0)?;
    }
    Ok(())
}

/// The accounts but root, 1000, and one that is named learner.
fn others(table: &str) -> String {
    let text = fs::read(table).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let other = |line: &&str| {
        let mut fields = line.split(':');
        fields.next() != Some("learner")
            && !matches!(fields.nth(1), Some("0" | "1000"))
    };
    text.lines().filter(other).map(|line| format!("{line}\n")).collect()
}
