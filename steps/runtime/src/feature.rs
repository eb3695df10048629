//! The shape that all kernel features of the workshop share.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Pid, Uid};

use crate::channel::{Channel, Message};
use crate::command::Variable;
use crate::failure::Failure;
use crate::line::GONE;
use crate::narration::{Narrator, Side};
use crate::process::{Exit, Instruction};
use crate::rootfs::RootDirectory;
use crate::signals::Signals;

/// One kernel feature of a container: its command-line flags, and what it does
/// on which side of the wall.
pub trait Feature {
    /// Namespaces that the clone(2) which starts the container must create.
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::empty()
    }

    /// On the host, before there is any process. `owner` is who will be root
    /// inside, if not ourselves.
    ///
    /// # Errors
    /// Any: told, and nothing begins.
    fn before(
        &mut self,
        _runtime: &Narrator,
        _owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        Ok(())
    }

    /// The root directory, where nobody named one and it is not the usual one.
    ///
    /// # Errors
    /// Any: told, and nothing begins.
    fn root_directory(
        &mut self,
        _runtime: &Narrator,
        _owner: Option<(Uid, Gid)>,
    ) -> Result<Option<RootDirectory>> {
        Ok(None)
    }

    /// How the container is looked after, if `command` (or no command) boots it
    /// like a machine.
    fn boot(&self, _command: &[OsString]) -> Option<&dyn Boot> {
        None
    }

    /// The cgroup (v2) in which clone(2) puts the container's first process.
    fn birthplace(&self) -> Option<Birthplace<'_>> {
        None
    }

    /// In a process of its own, from which the first one is then cloned: for
    /// what nobody takes back, as entering a namespace that is there already.
    /// Only a container that stays when we go has such a process.
    ///
    /// # Errors
    /// Any: nothing begins.
    fn on_the_way(&self, _container: &Inside) -> Result<()> {
        Ok(())
    }

    /// The cgroup (v2) in which the process on the way is born, where the kernel
    /// lets it.
    fn cgroup(&self) -> Option<&Path> {
        None
    }

    /// On the host, once the container's first process exists and waits.
    ///
    /// # Errors
    /// Any: the container is then ended, and the error told.
    fn on_host(&mut self, _container: &Host) -> Result<()> {
        Ok(())
    }

    /// On the host, when the first process asks for it ([`Inside::ask_the_host`]).
    ///
    /// # Errors
    /// Any: the container is then ended, and the error told.
    fn halfway(&mut self, _container: &Host) -> Result<()> {
        Ok(())
    }

    /// Inside, before all others: while we still have the runtime's own ids,
    /// and with them its rights.
    ///
    /// # Errors
    /// Any: the runtime tells it, and ends.
    fn first(&self, _container: &Inside) -> Result<()> {
        Ok(())
    }

    /// Inside, before the command replaces us.
    ///
    /// # Errors
    /// Any: the runtime tells it, and ends.
    fn inside(&self, _container: &mut Inside) -> Result<()> {
        Ok(())
    }

    /// Inside, with the ids that the command will have, directly before it
    /// replaces us: what the feature takes away, all others needed until here.
    /// With an init that stays, it holds for both.
    ///
    /// # Errors
    /// Any: the runtime tells it, and ends.
    fn last(&self, _container: &mut Inside) -> Result<()> {
        Ok(())
    }

    /// Inside, when somebody has opened the [`Door`](crate::Door) at which we waited.
    ///
    /// # Errors
    /// Any: told to whoever opened it.
    fn called(&self, _container: &Inside) -> Result<()> {
        Ok(())
    }

    /// Readable when the container must end at once.
    fn alarm(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// On the host, when the command has ended: what is there to tell of it.
    /// What a feature made on the host it takes away in `Drop`, which comes on
    /// every way out, and after the container's last process.
    ///
    /// # Errors
    /// Any: told instead of the command's exit status.
    fn after(&mut self, _container: &Host, _exit: Exit) -> Result<()> {
        Ok(())
    }

    /// The ids on the host that are root inside, if they are not the runtime's
    /// own: the default root directory is made for them.
    fn owner(&self) -> Option<(Uid, Gid)> {
        None
    }
}

/// What is special about a command that is the init of a whole system. Its
/// terminal is the console, even where nobody sits at one.
pub trait Boot {
    /// The number of the signal by which it is asked to end.
    fn stop_signal(&self, first: Pid) -> i32;

    /// Where to look when it has not said a word for a while.
    fn where_to_look(&self, first: Pid) -> String;

    /// What the end of PID 1 means.
    fn end(&self, exit: Exit) -> End;
}

/// What the end of PID 1 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This is the exit status.
    Over(Exit),
    /// It asked to be started anew.
    Again,
}

/// A cgroup, by its name and by a descriptor that is open.
#[derive(Debug, Clone, Copy)]
pub struct Birthplace<'a> {
    /// Where it is in the tree.
    pub path: &'a Path,
    /// What the kernel takes for it.
    pub directory: BorrowedFd<'a>,
}

/// The container as the host sees it.
#[derive(Debug)]
pub struct Host<'a> {
    /// Its first process, in the host's numbers.
    pub pid: Pid,
    /// The directory that becomes its root.
    pub rootfs: &'a Path,
    pub(crate) narrator: &'a Narrator<'a>,
}

impl<'a> Host<'a> {
    /// A first process that waits.
    #[must_use]
    pub fn new(
        pid: Pid,
        rootfs: &'a Path,
        narrator: &'a Narrator<'a>,
    ) -> Host<'a> {
        Host { pid, rootfs, narrator }
    }

    /// Says what is no kernel call, in one line.
    pub fn note(&self, text: impl Display) {
        self.narrator.note(Side::Host, text);
    }

    /// What `work` calls is counted, not told: see [`Narrator::routine`].
    pub fn routine<T>(&self, work: impl FnOnce() -> T) -> T {
        self.narrator.routine(work)
    }

    /// For work that takes its time: see [`Narrator::interrupted`].
    ///
    /// # Errors
    /// [`Failure::Interrupted`], when somebody asked us to stop.
    pub fn interrupted(&self) -> Result<(), Failure> {
        self.narrator.interrupted()
    }

    /// Makes a kernel call, after saying so: see [`Narrator::call`].
    ///
    /// # Errors
    /// The kernel's answer, with the call.
    pub fn call<T, E: Into<io::Error>>(
        &self,
        call: impl Display,
        why: &str,
        shell: impl Display,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.narrator.call(Side::Host, call, why, shell, body)
    }
}

/// What PID 1 does while the command runs as its child: it gets the command's
/// pid and the signals that arrive, and returns the command's end.
pub type Init = fn(Pid, &Signals) -> nix::Result<Exit>;

/// The container as its own first process sees it.
#[derive(Debug)]
pub struct Inside<'a> {
    /// The directory that becomes the root. A feature may put another one in
    /// its place, for the features after it.
    pub rootfs: PathBuf,
    /// Directories that lie over it, the topmost last, if a feature makes one
    /// of them all.
    pub layers: Vec<PathBuf>,
    /// What to tell when root inside is refused something in it (`EACCES`).
    pub refusal: String,
    /// The host's path of the container's terminal, if it has one.
    pub terminal: Option<PathBuf>,
    /// A directory on a tmpfs of the container's own, if a feature made one.
    /// After the pivot it has no name any more, and with the container it goes.
    pub scratch: Option<PathBuf>,
    /// Whether there is a mount that must stay read-only.
    pub read_only: bool,
    /// Files that features made, and where they shall lie in the new root.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Whether the command is the init of a whole system.
    pub boots: bool,
    /// What shall run inside; empty where nobody named it.
    pub command: Vec<OsString>,
    /// What runs inside where nobody named a command.
    pub default_command: Vec<OsString>,
    /// Where it begins, unless the user says so.
    pub workdir: PathBuf,
    /// Variables for it, unless the user sets them.
    pub variables: Vec<Variable>,
    /// Set by a feature that wants to stay as PID 1.
    pub init: Option<Init>,
    /// The ids that the command runs with, if not those of its first process.
    pub user: Option<(Uid, Gid)>,
    /// Its other groups, if not those of its first process.
    pub groups: Option<Vec<Gid>>,
    /// Its file mode creation mask.
    pub umask: Mode,
    /// A terminal that was made inside, in place of stdin, stdout and stderr.
    pub console: Option<OwnedFd>,
    /// A filter for system calls. It is loaded when all is done, so that the
    /// only call it must allow for our sake is execve(2).
    pub filter: Option<Vec<Instruction>>,
    pub(crate) host: Option<&'a Channel>,
    pub(crate) narrator: &'a Narrator<'a>,
}

impl<'a> Inside<'a> {
    /// As a first process begins, before its features act.
    #[must_use]
    pub fn new(rootfs: &Path, narrator: &'a Narrator<'a>) -> Inside<'a> {
        Inside {
            rootfs: rootfs.to_owned(),
            layers: Vec::new(),
            refusal: String::new(),
            terminal: None,
            scratch: None,
            read_only: false,
            files: Vec::new(),
            boots: false,
            command: vec![],
            default_command: vec!["/bin/sh".into()],
            workdir: PathBuf::from("/"),
            variables: Vec::new(),
            init: None,
            user: None,
            groups: None,
            umask: Mode::from_bits_truncate(0o022),
            console: None,
            filter: None,
            host: None,
            narrator,
        }
    }

    /// Makes a kernel call, after saying so: see [`Narrator::call`].
    ///
    /// # Errors
    /// The kernel's answer, with the call.
    pub fn call<T, E: Into<io::Error>>(
        &self,
        call: impl Display,
        why: &str,
        shell: impl Display,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.narrator.call(Side::Inside, call, why, shell, body)
    }

    /// What `work` calls is counted, not told: see [`Narrator::routine`].
    pub fn routine<T>(&self, work: impl FnOnce() -> T) -> T {
        self.narrator.routine(work)
    }

    /// Has the features act on the host ([`Feature::halfway`]), and waits until
    /// they have.
    ///
    /// # Errors
    /// When the host is gone.
    pub fn ask_the_host(&self) -> Result<()> {
        let Some(host) = self.host else { return Ok(()) };
        host.send(&Message::Halfway).context("sendmsg() to the host")?;
        match host.receive().context("recvmsg() from the host")? {
            Some(Message::Go) => Ok(()),
            _ => bail!(GONE),
        }
    }

    /// Says that something is left out, and why.
    pub fn note(&self, text: impl Display) {
        self.narrator.note(Side::Inside, text);
    }
}
