//! The files in /etc that say who exists. They are the inner root's to change.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use overlayfs::host_view::HostView;

use crate::internet::SERVER;

/// Writes them into the view.
pub fn write(view: &HostView, programs: &Path, home: &Path) -> Result<()> {
    view.own_copies(Path::new("/etc"))?;
    let put =
        |name: &str, text: &str| view.file(&view.path("/etc").join(name), text);
    // A login shell, as tmux starts one, sets PATH anew.
    let profile = view.path("/etc/profile");
    if profile.is_file() {
        let mut profile = OpenOptions::new().append(true).open(profile)?;
        writeln!(profile, "PATH={}:$PATH", runtime::shell([programs]))?;
    }
    let hosts = "127.0.0.1 localhost playground\n::1 localhost";
    put("hostname", "playground\n")?;
    put("hosts", &format!("{hosts}\n{SERVER} internet.example\n"))?;
    put("resolv.conf", "# no name server: /etc/hosts has the one name here\n")?;

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
    put("passwd", &passwd)?;
    put("group", &group)?;
    put("subuid", &lent)?;
    put("subgid", &lent)
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
