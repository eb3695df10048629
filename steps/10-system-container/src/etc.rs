//! The handful of files in /etc without which no init comes up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use runtime::Inside;

macro_rules! path {
    () => {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:\
         /opt/workshop"
    };
}

/// Where programs are looked for: at last, where those of the workshop lie.
pub const PATH: &str = path!();

/// Besides the accounts: a name, and what is in it.
pub const FILES: [(&str, &str); 16] = [
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("resolv.conf", ""),
    // Written for each container anew.
    ("machine-id", ""),
    (
        "nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    ),
    ("subuid", LENT),
    ("subgid", LENT),
    ("shells", "/bin/sh\n/bin/bash\n"),
    (
        "profile",
        concat!("PATH=", path!(), "\nPS1='\\u@\\h:\\w\\$ '\nexport PATH\n"),
    ),
    ("pam.d/other", PAM),
    ("pam.d/login", PAM),
    ("pam.d/systemd-user", PAM),
    // What the host's packages would start at boot, nobody asked for here.
    ("systemd/system-preset/00-none.preset", "disable *\n"),
    ("systemd/system/console-getty.service.d/autologin.conf", LOGIN),
    ("systemd/system/container-getty@.service.d/autologin.conf", LOGIN),
    // A shell that has only just begun misses the word that it shall end, and
    // systemd would wait for it for 90 seconds.
    (
        "systemd/system.conf.d/stop.conf",
        "[Manager]\nDefaultTimeoutStopSec=5s\n",
    ),
    ("tmpfiles.d/user.conf", "d /home/user 0755 user user\n"),
];

/// Ids for containers in the container: of root, and of an ordinary user. All
/// are among those that it has where its own are a part of somebody's part, as
/// in an ordinary user's playground.
const LENT: &str = "root:2000:14000\nuser:16000:14000\n";

/// A password is asked for only where there is one. With `pam_systemd.so` a
/// login is a session of logind's.
const PAM: &str = "auth required pam_unix.so nullok
account required pam_unix.so
password required pam_unix.so nullok
session required pam_unix.so
-session optional pam_systemd.so
";

/// Whoever started the container is root in it: no password could be a wall.
const LOGIN: &str = "[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud - 115200,38400,9600 $TERM
";

/// Fills /etc, and a file in /var.
pub fn fill(root: &Path) -> Result<()> {
    let etc = root.join("etc");
    let put = |name: &str, text: &str| {
        let path = etc.join(name);
        let parent = path.parent().unwrap_or(&etc);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("write /etc/{name}"))
    };
    for (name, text) in FILES {
        put(name, text)?;
    }
    let users = accounts("/etc/passwd");
    let shell = match Path::new("/bin/bash").exists() {
        true => "/bin/bash",
        false => "/bin/sh",
    };
    let passwd = format!(
        "root:x:0:0:root:/root:{shell}\n{users}\
         user:x:1000:1000::/home/user:{shell}\n"
    );
    let shadow = passwd.lines().filter_map(|line| line.split(':').next());
    let shadow = shadow.map(|name| match name {
        "root" | "user" => format!("{name}::1::::::\n"),
        name => format!("{name}:*:1::::::\n"),
    });
    put("shadow", &shadow.collect::<String>())?;
    put("passwd", &passwd)?;
    let groups = accounts("/etc/group");
    put("group", &format!("root:x:0:\n{groups}user:x:1000:\n"))?;
    symlink("../usr/lib/os-release", etc.join("os-release"))?;
    let target = "/lib/systemd/system/multi-user.target";
    symlink(target, etc.join("systemd/system/default.target"))?;
    take(&etc, "ld.so.cache")?;
    take(&etc, "login.defs")?;
    take_links(&etc, "alternatives")?;
    // What systemd does once after a change of /usr has no need to be done.
    for place in ["etc", "var"] {
        fs::write(root.join(place).join(".updated"), "")?;
    }
    Ok(())
}

/// The host's accounts of services: the files in /usr name them.
fn accounts(table: &str) -> String {
    let text = fs::read(table).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let is_a_services = |line: &&str| {
        let id = line.split(':').nth(2).and_then(|it| it.parse::<u32>().ok());
        id.is_some_and(|id| (1..1000).contains(&id) || id == 65534)
    };
    text.lines().filter(is_a_services).map(|it| format!("{it}\n")).collect()
}

fn take(etc: &Path, name: &str) -> Result<()> {
    let host = Path::new("/etc").join(name);
    if host.is_file() {
        fs::copy(&host, etc.join(name)).with_context(|| format!("{host:?}"))?;
    }
    Ok(())
}

/// Which of several programs has a name, as Debian keeps it.
fn take_links(etc: &Path, name: &str) -> Result<()> {
    fs::create_dir(etc.join(name))?;
    let host = Path::new("/etc").join(name);
    for entry in fs::read_dir(host).into_iter().flatten().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            symlink(target, etc.join(name).join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// For busybox's init: a shell on the console, again and again.
const INITTAB: &str = "::sysinit:/bin/echo 'busybox init: the system is up'
console::respawn:-/bin/sh
::ctrlaltdel:/sbin/reboot
";

/// Lays it over the usual root directory, which has none.
pub fn lay_inittab(container: &mut Inside) -> Result<()> {
    let Some(scratch) = &container.scratch else { return Ok(()) };
    let file = scratch.join("inittab");
    container.call(
        format!("write({file:?}, …)"),
        "what busybox's init shall start",
        "",
        || fs::write(&file, INITTAB),
    )?;
    container.files.push((file, "/etc/inittab".into()));
    Ok(())
}
