//! Which ids on the host stand behind those inside.

use std::cell::LazyCell;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::prctl::get_no_new_privs;
use nix::unistd::{Gid, Uid, User, getgid, getuid};
use runtime::{Because, Failure, Host, helper_program, kernel_file, shell};

/// As many as docker and podman map: enough for every id of a usual image.
const COUNT: u32 = 65_536;
/// Where ranges begin on a machine that has not said otherwise (useradd(8)).
const FIRST: u32 = 100_000;

/// `count` ids in a row: who inside, who outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    first: u32,
    count: u32,
}

/// How ids inside become ids outside: the lines of both maps.
///
/// Root's container has a subordinate range alone. An ordinary user is root
/// inside, and the others are the subordinate ranges: newuidmap(1) maps them
/// for us after a look into /etc/subuid. Without any there is nobody else.
#[derive(Debug, Clone)]
pub struct Mapping {
    uids: Vec<Range>,
    gids: Vec<Range>,
}

impl Mapping {
    /// The best that we may have.
    pub fn for_us() -> Mapping {
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        let mut uids = granted("/etc/subuid", "/proc/self/uid_map", uid);
        let mut gids = granted("/etc/subgid", "/proc/self/gid_map", gid);
        if getuid().is_root() {
            let beyond = Range { inside: 0, first: FIRST, count: COUNT };
            for (ranges, map) in
                [(&mut uids, "uid_map"), (&mut gids, "gid_map")]
            {
                if ranges.is_empty()
                    && beyond.is_in(&format!("/proc/self/{map}"))
                {
                    ranges.push(beyond);
                }
            }
        }
        let lent = !uids.is_empty() && !gids.is_empty();
        if !lent || !getuid().is_root() {
            let keep = if lent { usize::MAX } else { 0 };
            for (ranges, own) in [(&mut uids, uid), (&mut gids, gid)] {
                ranges.truncate(keep);
                ranges.insert(0, Range { inside: 0, first: own, count: 1 });
            }
        }
        Mapping { uids: numbered(uids), gids: numbered(gids) }
    }

    /// For root: `count` ids that no table lends to anybody, unless it lends
    /// some to root.
    pub fn apart_from_all(count: u32) -> Mapping {
        let ranges = |table: &str, map: &str| {
            let own = granted(table, map, 0);
            let text = fs::read_to_string(table).unwrap_or_default();
            let ends =
                text.lines().filter_map(|line| Some(range(line)?.1.end()));
            let first = ends.fold(FIRST.into(), u64::max) as u32;
            let apart = Range { inside: 0, first, count };
            numbered(if own.is_empty() { vec![apart] } else { own })
        };
        Mapping {
            uids: ranges("/etc/subuid", "/proc/self/uid_map"),
            gids: ranges("/etc/subgid", "/proc/self/gid_map"),
        }
    }

    /// Every id that there is here is itself inside, too.
    pub fn of_all_to_themselves() -> Mapping {
        let ranges = |map: &str| {
            let map = kernel_file(map).unwrap_or_default();
            let same = |line: &str| {
                let mut numbers = line.split_whitespace().flat_map(str::parse);
                let (first, _, count) =
                    (numbers.next()?, numbers.next()?, numbers.next()?);
                Some(Range { inside: first, first, count })
            };
            map.lines().filter_map(same).collect()
        };
        Mapping {
            uids: ranges("/proc/self/uid_map"),
            gids: ranges("/proc/self/gid_map"),
        }
    }

    /// What somebody else has chosen: first inside, first outside, how many.
    pub fn of(uids: &[[u32; 3]], gids: &[[u32; 3]]) -> Mapping {
        let ranges = |all: &[[u32; 3]]| {
            let range = |&[inside, first, count]: &[u32; 3]| Range {
                inside,
                first,
                count,
            };
            all.iter().map(range).collect()
        };
        Mapping { uids: ranges(uids), gids: ranges(gids) }
    }

    /// How many users and groups there are inside, at least.
    pub fn count(&self) -> u32 {
        let count = |ranges: &[Range]| ranges.iter().map(|it| it.count).sum();
        u32::min(count(&self.uids), count(&self.gids))
    }

    /// Who outside is this user and group of inside, if somebody is.
    pub fn outside(&self, id: u32) -> Option<(u32, u32)> {
        let outside = |ranges: &[Range]| {
            let range = ranges.iter().find(|range| {
                (range.inside..range.inside + range.count).contains(&id)
            })?;
            Some(range.first + (id - range.inside))
        };
        Some((outside(&self.uids)?, outside(&self.gids)?))
    }

    /// Makes a file that of a user inside.
    ///
    /// # Errors
    /// As lchown(2); where there is no such user.
    pub fn give(&self, path: &Path, id: u32) -> Result<()> {
        let (uid, gid) = self.outside(id).context("no such user inside")?;
        lchown(path, Some(uid), Some(gid))
            .with_context(|| format!("lchown({path:?}, {uid}, {gid})"))
    }

    /// Who on the host is root inside, if it is not ourselves.
    pub fn root(&self) -> Option<(Uid, Gid)> {
        let uid = Uid::from_raw(self.uids[0].first);
        let gid = Gid::from_raw(self.gids[0].first);
        (uid != getuid()).then_some((uid, gid))
    }

    /// # Errors
    /// When there is no such user or group inside.
    pub fn demand(&self, uid: Uid, gid: Gid) -> Result<()> {
        let last = |ranges: &[Range]| {
            ranges.iter().map(|range| range.count).sum::<u32>() - 1
        };
        let (last_uid, last_gid) = (last(&self.uids), last(&self.gids));
        if uid.as_raw() <= last_uid && gid.as_raw() <= last_gid {
            return Ok(());
        }
        let asked = format!("--user {uid}:{gid}: EINVAL");
        match last_uid {
            0 => bail!(
                "{asked}: only id 0 is mapped; more ids take a range in /etc/subuid and \
                 /etc/subgid (`sudo usermod --add-subuids 100000-165535 --add-subgids \
                 100000-165535 $USER`) and a newuidmap that works (./scripts/doctor.sh tries \
                 it)"
            ),
            _ => bail!(
                "{asked}: only the users 0 to {last_uid} and the groups 0 to {last_gid} are mapped"
            ),
        }
    }

    /// Writes both maps of the container's first process. The kernel takes
    /// each one once.
    pub fn write(&mut self, container: &Host) -> Result<()> {
        map(container, "newuidmap", "uid_map", &mut self.uids)?;
        if matches!(self.uids[..], [Range { count: 1, .. }]) {
            self.gids.truncate(1);
        }
        map(container, "newgidmap", "gid_map", &mut self.gids)
    }
}

/// One after the other inside, wherever they are outside.
fn numbered(mut ranges: Vec<Range>) -> Vec<Range> {
    let mut next = 0;
    for range in &mut ranges {
        range.inside = next;
        next += range.count;
    }
    ranges
}

impl Range {
    fn numbers(self) -> [u32; 3] {
        [self.inside, self.first, self.count]
    }

    fn end(self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    fn overlaps(self, other: Range) -> bool {
        u64::from(self.first) < other.end()
            && u64::from(other.first) < self.end()
    }

    /// Whether all of it exists in the user namespace that we are in: a host
    /// may itself be a container.
    fn is_in(self, map: &str) -> bool {
        let map = kernel_file(map).unwrap_or_default();
        map.lines().any(|line| {
            let fields: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
            matches!(fields[..], [first, _, count] if first <= self.first.into() && self.end() <= first + count)
        })
    }
}

/// The ranges that the machine grants us (subuid(5)), by name or number. `own`
/// is our own id: it is ours already, and no map has an id twice.
fn granted(table: &str, map: &str, own: u32) -> Vec<Range> {
    /// A map is written at once, and the kernel takes a page at most.
    const LINES: usize = 100;
    let uid = getuid();
    // Not asked for in vain: whoever keeps the names may be far away.
    let name = LazyCell::new(|| {
        User::from_uid(uid).ok().flatten().map(|user| user.name)
    });
    let number = uid.to_string();
    let own = Range { inside: 0, first: own, count: 1 };
    let table = fs::read_to_string(table).unwrap_or_default();
    let mut ranges: Vec<Range> = vec![];
    for (owner, range) in table.lines().filter_map(range) {
        let ours = owner == number || Some(owner) == name.as_deref();
        let new = !range.overlaps(own)
            && !ranges.iter().any(|other| range.overlaps(*other));
        if ours && range.count > 0 && new && range.is_in(map) {
            ranges.push(range);
        }
    }
    ranges.truncate(LINES);
    ranges
}

/// A line of the table: whose, and which.
fn range(line: &str) -> Option<(&str, Range)> {
    let mut fields = line.split(':');
    let owner = fields.next()?;
    let mut number = || fields.next()?.trim().parse().ok();
    let (first, count) = (number()?, number()?);
    Some((owner, Range { inside: 0, first, count }))
}

/// Root writes any map. An ordinary user has one line to give away: himself.
fn map(
    container: &Host,
    program: &str,
    file: &str,
    ranges: &mut Vec<Range>,
) -> Result<()> {
    let is_root = getuid().is_root();
    if !is_root && ranges.len() > 1 && borrow(container, program, ranges)? {
        return Ok(());
    }
    if !is_root && file == "gid_map" {
        write(container, "setgroups", "deny")?;
    }
    let lines: Vec<_> =
        ranges.iter().map(|range| words(range).join(" ")).collect();
    write(container, file, &lines.join("\n"))
}

/// Whether newuidmap can do more is tried, since there is no other way to know:
/// it may lack its setuid bit, or we the right to make use of it. If it can't,
/// one id is left.
fn borrow(
    container: &Host,
    program: &str,
    ranges: &mut Vec<Range>,
) -> Result<bool> {
    match run(container, program, ranges) {
        Ok(()) => Ok(true),
        Err(error) if Failure::is_interruption(&error) => Err(error),
        Err(error) => {
            let who = if program == "newuidmap" { "user" } else { "group" };
            container.note(format!("{error:#}: so only {who} 0 is mapped"));
            ranges.truncate(1);
            Ok(false)
        }
    }
}

fn words(range: &Range) -> Vec<String> {
    range.numbers().iter().map(u32::to_string).collect()
}

fn write(container: &Host, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{}/{file}", container.pid);
    let why = match file {
        "setgroups" => "comes first: inside, nobody may drop one of our groups",
        "uid_map" => "users: first inside, first outside, how many",
        _ => "groups: first inside, first outside, how many",
    };
    let call = format!("write({path:?}, {text:?})");
    let echo = format!("echo {} > {path}", shell([text]));
    let done = container.call(call, why, echo, || fs::write(&path, text));
    if done.is_err() && !proc_is_ours() {
        done.because(Errno::ENOENT, FOREIGN)
            .because(Errno::EPERM, FOREIGN)
            .because(Errno::EACCES, FOREIGN)?;
    } else {
        done.because(Errno::EPERM, REFUSED).because(Errno::EACCES, REFUSED)?;
    }
    Ok(())
}

/// Where it shows other numbers than ours, /proc/PID is somebody else.
fn proc_is_ours() -> bool {
    let own = fs::read_link("/proc/self").unwrap_or_default();
    own.as_os_str() == std::process::id().to_string().as_str()
}

const FOREIGN: &str = "/proc shows a PID namespace other than ours: mount a new one \
     (`unshare --pid --fork --mount-proc` does)";

const REFUSED: &str = "this machine lets ordinary users make a user namespace, but do nothing \
     in it (Ubuntu's AppArmor restriction): ./scripts/doctor.sh says how to fix it";

/// newuidmap(1) and newgidmap(1) are setuid root: they may map what
/// /etc/subuid and /etc/subgid grant, and nothing else.
fn run(container: &Host, program: &str, ranges: &[Range]) -> Result<()> {
    let pid = container.pid.to_string();
    let words: Vec<_> =
        [pid].into_iter().chain(ranges.iter().flat_map(words)).collect();
    let call = format!("{program} {}", words.join(" "));
    let why = "root inside is you; the others are your subordinate range";
    let (status, said) = container.call(&call, why, &call, || {
        helper_program::run(Command::new(program).args(&words))
    })?;
    if !status.success() {
        let cause = match get_no_new_privs() {
            Ok(true) => {
                "no_new_privs is set for this shell, so the program gets no rights"
            }
            _ => {
                "is it installed setuid root? does the range belong to you? \
                 ./scripts/doctor.sh tries it"
            }
        };
        return Err(anyhow!("{said}"))
            .context(format!("{call}: {status} ({cause})"));
    }
    Ok(())
}
