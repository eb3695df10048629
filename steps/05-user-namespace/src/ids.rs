//! Which ids on the host stand behind those inside.

use std::cell::LazyCell;
use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, getgid, getuid};
use runtime::{Because, Host, shell};

/// As many as docker and podman map: enough for every id of a usual image.
const COUNT: u32 = 65_536;
/// Where ranges begin on a machine that has not said otherwise (useradd(8)).
const FIRST: u32 = 100_000;

/// `count` ids in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: u32,
    count: u32,
}

/// How ids inside become ids outside.
#[derive(Debug, Clone)]
pub enum Mapping {
    /// All to a subordinate range: what root may do.
    Range { uids: Range, gids: Range },
    /// Root inside is ourselves; the others are a subordinate range, which
    /// newuidmap(1) maps for us after a look into /etc/subuid.
    OursAndRange { uids: Range, gids: Range },
    /// Root inside is ourselves, and there is nobody else.
    Ours,
}

impl Mapping {
    /// The best that we may have.
    pub fn for_us() -> Mapping {
        let uids = granted("/etc/subuid", "/proc/self/uid_map");
        let gids = granted("/etc/subgid", "/proc/self/gid_map");
        if getuid().is_root() {
            let beyond = |map| {
                Some(Range { first: FIRST, count: COUNT })
                    .filter(|r| r.is_in(map))
            };
            let uids = uids.or_else(|| beyond("/proc/self/uid_map"));
            let gids = gids.or_else(|| beyond("/proc/self/gid_map"));
            match (uids, gids) {
                (Some(uids), Some(gids)) => Mapping::Range { uids, gids },
                _ => Mapping::Ours,
            }
        } else {
            match (uids, gids) {
                (Some(uids), Some(gids)) => {
                    Mapping::OursAndRange { uids, gids }
                }
                _ => Mapping::Ours,
            }
        }
    }

    /// Who on the host is root inside, if it is not ourselves.
    pub fn root(&self) -> Option<(Uid, Gid)> {
        match self {
            Mapping::Range { uids, gids } => {
                Some((Uid::from_raw(uids.first), Gid::from_raw(gids.first)))
            }
            _ => None,
        }
    }

    /// # Errors
    /// When there is no such user or group inside.
    pub fn demand(&self, uid: Uid, gid: Gid) -> Result<()> {
        let (last_uid, last_gid) = match self {
            Mapping::Range { uids, gids } => (uids.count - 1, gids.count - 1),
            Mapping::OursAndRange { uids, gids } => (uids.count, gids.count),
            Mapping::Ours => (0, 0),
        };
        if uid.as_raw() <= last_uid && gid.as_raw() <= last_gid {
            return Ok(());
        }
        let asked = format!("--user {uid}:{gid}: EINVAL");
        match self {
            Mapping::Ours => bail!(
                "{asked}: only id 0 is mapped; a range in /etc/subuid and /etc/subgid gives \
                 more (`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 \
                 $USER`), and newuidmap (./scripts/setup.sh)"
            ),
            _ => bail!(
                "{asked}: mapped are the users 0 to {last_uid} and the groups 0 to {last_gid}"
            ),
        }
    }

    /// Writes both maps of the container's first process. The kernel takes
    /// each one once.
    pub fn write(&self, container: &Host) -> Result<()> {
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        match self {
            Mapping::Range { uids, gids } => {
                write(container, "uid_map", &uids.line())?;
                write(container, "gid_map", &gids.line())
            }
            Mapping::OursAndRange { uids, gids } => {
                run(container, "newuidmap", uid, uids)?;
                run(container, "newgidmap", gid, gids)
            }
            Mapping::Ours => {
                write(container, "uid_map", &format!("0 {uid} 1"))?;
                if !getuid().is_root() {
                    write(container, "setgroups", "deny")?;
                }
                write(container, "gid_map", &format!("0 {gid} 1"))
            }
        }
    }
}

impl Range {
    fn line(self) -> String {
        format!("0 {} {}", self.first, self.count)
    }

    fn contains(self, id: u32) -> bool {
        id >= self.first && id - self.first < self.count
    }

    /// Whether all of it exists in the user namespace that we are in: a host
    /// may itself be a container.
    fn is_in(self, map: &str) -> bool {
        let map = fs::read_to_string(map).unwrap_or_default();
        let end = u64::from(self.first) + u64::from(self.count);
        map.lines().any(|line| {
            let fields: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
            matches!(fields[..], [first, _, count] if first <= self.first.into() && end <= first + count)
        })
    }
}

/// The first range that the machine grants us (subuid(5)), by name or number.
fn granted(table: &str, map: &str) -> Option<Range> {
    let uid = getuid();
    // Not asked for in vain: whoever keeps the names may be far away.
    let name = LazyCell::new(|| {
        User::from_uid(uid).ok().flatten().map(|user| user.name)
    });
    let number = uid.to_string();
    let table = fs::read_to_string(table).ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let range = Range {
            first: fields.next()?.parse().ok()?,
            count: fields.next()?.parse().ok()?,
        };
        let ours = owner == number || Some(owner) == name.as_deref();
        let helper = uid.is_root() || is_on_path("newuidmap");
        // A range with ourselves in it would give nothing away.
        let others = range.count > 0 && !range.contains(uid.as_raw());
        (ours && helper && others && range.is_in(map)).then_some(range)
    })
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn write(container: &Host, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{}/{file}", container.pid);
    let why = match file {
        "setgroups" => "first: no group of ours may be dropped inside",
        "uid_map" => "users: first inside, first outside, how many",
        _ => "groups: first inside, first outside, how many",
    };
    let call = format!("write({path:?}, {text:?})");
    container
        .call(call, why, format!("echo {} > {path}", shell([text])), || {
            fs::write(&path, text)
        })
        .because(Errno::EPERM, REFUSED)
        .because(Errno::EACCES, REFUSED)?;
    Ok(())
}

const REFUSED: &str = "this machine lets ordinary users make a user namespace and do nothing in \
     it (Ubuntu's AppArmor restriction): ./scripts/doctor.sh says what mends it";

/// newuidmap(1) and newgidmap(1) are setuid root: they may map what
/// /etc/subuid and /etc/subgid grant, and nothing else.
fn run(container: &Host, program: &str, own: u32, range: &Range) -> Result<()> {
    let numbers =
        [container.pid.as_raw() as u32, 0, own, 1, 1, range.first, range.count];
    let words: Vec<_> = numbers.iter().map(u32::to_string).collect();
    let call = format!("{program} {}", words.join(" "));
    let why = "root inside is you; the others are your subordinate range";
    let output = container.call(&call, why, &call, || {
        Command::new(program).args(&words).output()
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(anyhow::anyhow!("{said}")).context(format!(
            "{call}: {} (is it installed setuid root? does the range belong to you?)",
            output.status
        ));
    }
    Ok(())
}
