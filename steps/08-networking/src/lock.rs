//! One at a time: who looks at the host's network and changes it.
//!
//! No file is made for that, and none is left: the lock lies on a setting of
//! this network namespace, and with its holder it is gone. Which file matters:
//! whoever can open a file can lock it (flock(2)), for as long as they like.
//! /proc/self/ns/net is everybody's to open. This one is for the network's root
//! alone.

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{major, minor};
use runtime::{Because, Failure, Host};

const FILE: &str = "/proc/sys/net/ipv4/tcp_fastopen_key";
/// How long one and the same process may have it: it needs tenths of a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// After how long it is said that we wait, and for whom.
const SILENCE: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(20);

/// What to say to those who may not change the host's network.
pub const ROOTS: &str = "only root may change this host's network; without sudo, leave out \
     --network, or run this in the playground: ./scripts/playground.sh";

/// Takes it. Who waits says so, and can be interrupted.
pub fn take(container: &Host) -> Result<Flock<File>> {
    let file = container
        .call(
            format!("flock({FILE:?}, LOCK_EX)"),
            "one at a time: a file that only this network's root can open",
            format!("exec 9< {FILE}; flock 9"),
            || File::open(FILE),
        )
        .because(Errno::EACCES, ROOTS)?;
    wait(file, Some(container))
}

/// The same, when nobody listens any more.
pub fn take_quietly() -> Result<Flock<File>> {
    wait(File::open(FILE)?, None)
}

fn wait(mut file: File, container: Option<&Host>) -> Result<Flock<File>> {
    let (mut holder, mut since, mut is_told) = (None, Instant::now(), false);
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, errno)) => {
                bail!(Failure::of(format!("flock({FILE:?})"), errno))
            }
        };
        let current = holder_of(&file).context("/proc/locks")?;
        if current != holder {
            (holder, since) = (current, Instant::now());
        }
        let who = holder.as_deref().unwrap_or("that is not seen from here");
        if since.elapsed() > PATIENCE {
            bail!(
                "flock({FILE:?}): process {who} keeps this network's lock (is it waiting for \
                 Enter, with --pause?): end it, or try again when it has ended"
            );
        }
        if let Some(container) = container {
            container.interrupted()?;
            if since.elapsed() > SILENCE && !is_told {
                container.note(format!(
                    "process {who} has this network's lock: waiting for it, {PATIENCE:?} at most"
                ));
                is_told = true;
            }
        }
        sleep(MOMENT);
    }
}

/// The pid of whoever has it now (proc_locks(5)).
fn holder_of(file: &File) -> std::io::Result<Option<String>> {
    let about = file.metadata()?;
    let (device, inode) = (about.st_dev(), about.st_ino());
    let name = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = fs::read_to_string("/proc/locks")?;
    let mut holders = locks.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, file, ..] if file == name => Some(pid),
            _ => None,
        }
    });
    Ok(holders.next().map(str::to_owned))
}
