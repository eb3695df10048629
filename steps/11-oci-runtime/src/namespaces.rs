//! Namespaces: new ones, and those that are there already, by a path.

use std::fs::{File, read_link};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::LinuxNamespaceType as Kind;
use runtime::{Because, Feature, Inside, NO_MORE_NAMESPACES, Narrator, shell};
use user_namespace::become_root;

use crate::bundle::Bundle;

/// clone(2) has no room for it: unshare(2), and a fork after it.
const TIME: CloneFlags = CloneFlags::from_bits_retain(Kind::Time as i32);

/// Which ones the container has.
#[derive(Debug)]
pub struct Namespaces {
    new: CloneFlags,
    /// The user namespace first: with it come the rights to enter the others.
    joined: Vec<(Kind, String, File)>,
    /// For a new time namespace: what it adds to the machine's clocks.
    offsets: String,
}

impl Namespaces {
    fn none() -> Namespaces {
        let new = CloneFlags::empty();
        Namespaces { new, joined: vec![], offsets: String::new() }
    }

    /// # Errors
    /// When one is named twice, or a path is none.
    pub fn new(bundle: &Bundle) -> Result<Namespaces> {
        let Bundle { spec, linux, .. } = bundle;
        let mut namespaces = Namespaces::none();
        let mut seen = CloneFlags::empty();
        for it in linux.namespaces().iter().flatten() {
            let (kind, one) = (it.typ(), flag(it.typ()));
            ensure!(!seen.contains(one), "linux.namespaces: {kind} twice");
            seen |= one;
            match it.path() {
                None => namespaces.new |= one,
                Some(path) => namespaces.join(kind, path)?,
            }
        }
        for (clock, offset) in linux.time_offsets().iter().flatten() {
            let (seconds, nanos) =
                (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            namespaces.offsets += &format!("{clock} {seconds} {nanos}\n");
        }
        let has = |kind| seen.contains(flag(kind));
        ensure!(
            has(Kind::Mount),
            "linux.namespaces: no container without mount"
        );
        ensure!(
            spec.hostname().is_none() || has(Kind::Uts),
            "hostname: it would be the host's without a uts namespace"
        );
        Ok(namespaces)
    }

    /// Those of a process, where they are not ours.
    ///
    /// # Errors
    /// As open(2).
    pub fn of(pid: i32) -> Result<Namespaces> {
        let mut namespaces = Namespaces::none();
        for kind in [
            Kind::User,
            Kind::Cgroup,
            Kind::Ipc,
            Kind::Uts,
            Kind::Network,
            Kind::Pid,
            Kind::Time,
            Kind::Mount,
        ] {
            let name = kind.to_string();
            let path = format!("/proc/{pid}/ns/{name}");
            // Not every kernel has all of them.
            let Ok(ours) = read_link(format!("/proc/self/ns/{name}")) else {
                continue;
            };
            let theirs = read_link(&path);
            if theirs.with_context(|| format!("readlink({path:?})"))? != ours {
                namespaces.join(kind, Path::new(&path))?;
            }
        }
        Ok(namespaces)
    }

    fn join(&mut self, kind: Kind, path: &Path) -> Result<()> {
        let name = || format!("linux.namespaces: {kind} at {path:?}");
        // By O_PATH nothing is opened yet: a FIFO would keep us waiting.
        let mut look = File::options();
        look.read(true).custom_flags(OFlag::O_PATH.bits());
        let there = look.open(path).with_context(name)?;
        let is_one = fstatfs(&there)?.filesystem_type() == NSFS_MAGIC;
        ensure!(is_one, "{}: that is no namespace", name());
        let open = File::open(format!("/proc/self/fd/{}", there.as_raw_fd()))
            .with_context(name)?;
        let at = match kind {
            Kind::User => 0,
            _ => self.joined.len(),
        };
        self.joined.insert(at, (kind, path.display().to_string(), open));
        Ok(())
    }

    /// Whether the container gets one of its own.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.new.contains(flag(kind))
    }
}

impl Feature for Namespaces {
    fn namespaces(&self) -> CloneFlags {
        self.new - TIME
    }

    // Nobody comes back from there. Our root becomes that of a mount namespace,
    // and only our children are in a PID or a time namespace.
    fn on_the_way(&self, container: &Inside) -> Result<()> {
        let (last, first): (Vec<_>, Vec<_>) =
            self.joined.iter().partition(|(kind, ..)| *kind == Kind::Mount);
        for (kind, path, open) in first.into_iter().chain(last) {
            let joined = container.call(
                format!("setns({path:?}, {kind})"),
                "a namespace that is there already",
                shell(["nsenter".to_owned(), format!("--{kind}={path}")]),
                || setns(open, flag(*kind)),
            );
            joined.because(
                nix::errno::Errno::EINVAL,
                "it is another kind of namespace, or no namespace at all",
            )?;
        }
        if self.new.contains(TIME) {
            container
                .call(
                    "unshare(CLONE_NEWTIME)",
                    "clocks of its own",
                    "unshare --time sh",
                    || unshare(TIME),
                )
                .because(nix::errno::Errno::ENOSPC, NO_MORE_NAMESPACES)?;
            if !self.offsets.is_empty() {
                std::fs::write("/proc/self/timens_offsets", &self.offsets)
                    .context("linux.timeOffsets")?;
            }
        }
        Ok(())
    }

    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        if !self.offsets.is_empty() && !self.new.contains(TIME) {
            bail!("linux.timeOffsets: they take a new time namespace");
        }
        Ok(())
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        match self.joined.iter().any(|(kind, ..)| *kind == Kind::User) {
            true => become_root(container),
            false => Ok(()),
        }
    }
}

fn flag(kind: Kind) -> CloneFlags {
    CloneFlags::from_bits_retain(kind as i32)
}
