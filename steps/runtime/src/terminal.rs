//! A terminal of the container's own (pty(7)).
//!
//! A process that has the host's terminal open can put characters into its
//! input, as if you had typed them (TIOCSTI, CVE-2017-5226 and its kin). So
//! the command never gets it: the runtime makes a new pseudoterminal, gives
//! the command one end, and carries bytes between the other end and yours.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::pty::openpty;
use nix::sys::stat::Mode;
use nix::sys::termios::{
    InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices,
    Termios, cfmakeraw, tcgetattr, tcsetattr,
};
use nix::unistd::{
    Gid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchown, getpgrp, setsid,
    tcgetpgrp, ttyname,
};
use rustix::process::ioctl_tiocsctty;
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use crate::failure::Failure;

/// A pseudoterminal, and how it hangs together with the one we were started in.
#[derive(Debug)]
pub struct Terminal {
    /// Our end, until a hang-up.
    master: Option<File>,
    /// The container's end.
    slave: OwnedFd,
    /// Which of 0, 1, 2 are terminals: these the command gets anew.
    replaces: [bool; 3],
    /// The host's terminal, to which the command's output goes.
    host: File,
    /// How the host's terminal was set before we touched it.
    before: Termios,
    raw: bool,
    /// Where a person types, until the end of their input.
    keyboard: Option<File>,
    /// Typed, and not yet taken by the command's side.
    typed: Vec<u8>,
    /// Whether somebody both types and reads there.
    person: bool,
    /// Whether the command's side ever said anything.
    spoke: bool,
}

impl Terminal {
    /// `None` where none of stdin, stdout and stderr is a terminal.
    ///
    /// # Errors
    /// As openpty(3), tcgetattr(3).
    pub fn open() -> Result<Option<Terminal>, Failure> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let replaces =
            [stdin.is_terminal(), stdout.is_terminal(), stderr.is_terminal()];
        let host = match replaces {
            [_, true, _] => stdout.as_fd().try_clone_to_owned(),
            [true, ..] => stdin.as_fd().try_clone_to_owned(),
            [_, _, true] => stderr.as_fd().try_clone_to_owned(),
            _ => return Ok(None),
        };
        let refused = |e| Failure::of("dup(2) of the terminal", e);
        let host = File::from(host.map_err(refused)?);
        let keyboard = match replaces[0] {
            true => Some(stdin.as_fd().try_clone_to_owned().map_err(refused)?),
            false => None,
        };
        let before = tcgetattr(&host)
            .map_err(|e| Failure::of("tcgetattr(terminal)", e))?;
        let pty = openpty(None, &settings(&before, &host, replaces))
            .map_err(|e| Failure::of("openpty()", e))?;
        for fd in [&pty.master, &pty.slave] {
            let flag = FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC);
            fcntl(fd, flag)
                .map_err(|e| Failure::of("fcntl(pty, FD_CLOEXEC)", e))?;
        }
        // A person may type faster than the command reads: never block on it.
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|e| Failure::of("fcntl(pty, O_NONBLOCK)", e))?;
        let terminal = Terminal {
            master: Some(File::from(pty.master)),
            slave: pty.slave,
            replaces,
            host,
            before,
            raw: false,
            keyboard: keyboard.map(File::from),
            typed: Vec::new(),
            person: replaces[0] && replaces[1],
            spoke: false,
        };
        terminal.resize();
        Ok(Some(terminal))
    }

    /// A console for a machine that boots: where nobody sits at a terminal, its
    /// words go to stdout, and nothing is typed.
    ///
    /// # Errors
    /// As openpty(3), tcgetattr(3).
    pub fn console() -> Result<Terminal, Failure> {
        if io::stdin().is_terminal()
            && io::stdout().is_terminal()
            && let Some(mut terminal) = Terminal::open()?
        {
            terminal.replaces = [true; 3];
            return Ok(terminal);
        }
        let refused = |e| Failure::of("openpty()", e);
        let pty = openpty(None, None).map_err(refused)?;
        let mut quiet = tcgetattr(&pty.slave).map_err(refused)?;
        quiet.local_flags.remove(LocalFlags::ECHO);
        quiet.output_flags.remove(OutputFlags::OPOST);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &quiet).map_err(refused)?;
        for fd in [&pty.master, &pty.slave] {
            let flag = FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC);
            fcntl(fd, flag).map_err(refused)?;
        }
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(refused)?;
        let host = io::stdout().as_fd().try_clone_to_owned();
        let host = host.map_err(|e| Failure::of("dup(2) of stdout", e))?.into();
        Ok(Terminal {
            master: Some(File::from(pty.master)),
            slave: pty.slave,
            replaces: [true; 3],
            host,
            before: quiet,
            raw: false,
            keyboard: None,
            typed: Vec::new(),
            person: false,
            spoke: false,
        })
    }

    /// Whether the command's side ever said anything.
    #[must_use]
    pub fn spoke(&self) -> bool {
        self.spoke
    }

    /// While `tell` speaks to the person, their terminal is as it was.
    pub fn meanwhile(&mut self, tell: impl FnOnce()) {
        self.restore();
        tell();
        self.go_raw();
    }

    /// The path of the container's end on the host.
    ///
    /// # Errors
    /// As ttyname(3).
    pub fn slave_path(&self) -> nix::Result<PathBuf> {
        ttyname(&self.slave)
    }

    /// Whom the container's end belongs to: who owns it may open it again, as
    /// `echo > /dev/stderr` does.
    ///
    /// # Errors
    /// As fchown(2).
    pub fn give(&self, (uid, gid): (Uid, Gid)) -> nix::Result<()> {
        fchown(&self.slave, Some(uid), Some(gid))
    }

    /// In the child: the container's end takes the place of the host's terminal.
    ///
    /// # Errors
    /// As dup2(2).
    pub fn attach(&self) -> nix::Result<()> {
        let [stdin, stdout, stderr] = self.replaces;
        if stdin {
            dup2_stdin(&self.slave)?;
        }
        if stdout {
            dup2_stdout(&self.slave)?;
        }
        if stderr {
            dup2_stderr(&self.slave)?;
        }
        Ok(())
    }

    /// In the command's process: the terminal whose Ctrl-C is ours
    /// (credentials(7), "Sessions").
    ///
    /// # Errors
    /// As ioctl TIOCSCTTY; the caller must lead a session.
    pub fn control(&self) -> nix::Result<()> {
        ioctl_tiocsctty(&self.slave)
            .map_err(|e| Errno::from_raw(e.raw_os_error()))
    }

    /// The window's size as it is now. Without one (a serial line) nothing changes.
    pub fn resize(&self) {
        if let Ok(size) = tcgetwinsize(&self.host) {
            let _ = self.master.as_ref().map(|m| tcsetwinsize(m, size));
        }
    }

    /// Every key goes to the container unchanged, Ctrl-C too: its own terminal
    /// makes signals of them. Only while we are in the foreground: a job in
    /// the background that touches the terminal would be stopped.
    pub fn go_raw(&mut self) {
        if !self.has_a_person() || !in_foreground(&self.host) {
            return;
        }
        // A shell that edits lines has settings of its own while it waits:
        // those of the moment when we come to the foreground count.
        if !self.raw
            && let Ok(now) = tcgetattr(&self.host)
        {
            self.before = now;
        }
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        self.raw = tcsetattr(&self.host, SetArg::TCSADRAIN, &raw).is_ok();
    }

    fn has_a_person(&self) -> bool {
        self.person
    }

    fn restore(&mut self) {
        if std::mem::take(&mut self.raw) && in_foreground(&self.host) {
            let _ = tcsetattr(&self.host, SetArg::TCSADRAIN, &self.before);
        }
    }

    /// A job that a shell brings to the foreground is told so only if it was
    /// stopped before: otherwise we must look.
    pub fn look_for_the_foreground(&mut self) -> PollTimeout {
        self.hang_up_if_gone();
        if !self.raw {
            self.go_raw();
        }
        match self.keyboard.is_some() && !in_foreground(&self.host) {
            true => PollTimeout::from(100_u8),
            false => PollTimeout::NONE,
        }
    }

    /// If the host's terminal is gone for good (a window was closed), so is
    /// the container's, and its kernel tells those inside.
    pub fn hang_up_if_gone(&mut self) {
        if tcgetpgrp(&self.host) == Err(Errno::EIO) {
            self.master = None;
            self.keyboard = None;
        }
    }

    /// What to wait for: our end, and the keyboard while it is ours.
    #[must_use]
    pub fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let Some(master) = &self.master else {
            return Vec::new();
        };
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, !self.typed.is_empty());
        let mut fds = vec![PollFd::new(master.as_fd(), events)];
        if let Some(keyboard) = &self.keyboard
            && self.typed.is_empty()
            && in_foreground(keyboard)
        {
            fds.push(PollFd::new(keyboard.as_fd(), PollFlags::POLLIN));
        }
        fds
    }

    /// Carries what there is, in both directions. `ready` are the answers for
    /// [`Terminal::poll_fds`].
    pub fn carry(&mut self, ready: &[bool]) {
        if ready.get(1) == Some(&true) {
            self.read_keyboard();
        }
        if !self.typed.is_empty()
            && let Some(master) = &mut self.master
            && let Ok(taken) = master.write(&self.typed)
        {
            self.typed.drain(..taken);
        }
        if ready.first() == Some(&true) {
            self.carry_output();
        }
    }

    fn read_keyboard(&mut self) {
        let mut keys = [0; 4096];
        let read =
            self.keyboard.as_mut().map(|keyboard| keyboard.read(&mut keys));
        match read {
            Some(Ok(length @ 1..)) => {
                self.typed.extend_from_slice(&keys[..length])
            }
            Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => self.end_input(),
        }
    }

    /// A terminal that collects lines (it is not raw) says Ctrl-D by an end of
    /// input. The container's terminal wants to hear the key.
    fn end_input(&mut self) {
        self.keyboard = None;
        if !self.raw {
            let key = SpecialCharacterIndices::VEOF as usize;
            self.typed.push(self.before.control_chars[key]);
        }
    }

    /// One buffer of output; how much there was.
    fn carry_output(&mut self) -> usize {
        let mut bytes = [0; 4096];
        match self.master.as_mut().map(|master| master.read(&mut bytes)) {
            Some(Ok(length)) => {
                self.spoke |= length > 0;
                let _ = self.host.write_all(&bytes[..length]);
                length
            }
            _ => 0,
        }
    }

    /// The command is gone: what it wrote last is shown, and no more than the
    /// kernel can hold for it, since a process that it left may write on.
    pub fn finish(&mut self) {
        let mut held_by_the_kernel: usize = 128 * 1024;
        while held_by_the_kernel > 0 {
            match self.carry_output() {
                0 => break,
                shown => {
                    held_by_the_kernel =
                        held_by_the_kernel.saturating_sub(shown)
                }
            }
        }
        self.restore();
    }
}

/// Whether the kernel lets us use it. It stops nobody whose controlling
/// terminal is another one, or none (ENOTTY): the machine's console is such.
fn in_foreground(terminal: &File) -> bool {
    match tcgetpgrp(terminal) {
        Ok(group) => group == getpgrp(),
        Err(errno) => errno == Errno::ENOTTY,
    }
}

/// How the container's terminal begins: like the host's. Where that one keeps
/// to do its own work (no person both types and reads there), ours must not
/// do it a second time: echo, and a carriage return before each line feed.
fn settings(host: &Termios, terminal: &File, replaces: [bool; 3]) -> Termios {
    let mut ours = host.clone();
    if !(replaces[0] && replaces[1]) {
        ours.local_flags.remove(LocalFlags::ECHO);
        ours.output_flags.remove(OutputFlags::OPOST);
    } else if !in_foreground(terminal) {
        // A shell that edits lines has made it raw, for itself.
        ours.local_flags |=
            LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG;
        ours.input_flags |= InputFlags::ICRNL;
        ours.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
    }
    ours
}

/// On every way out the host's terminal is as it was.
impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// A terminal that was made inside takes the place of 0, 1 and 2, and is the one
/// whose Ctrl-C is ours. The caller leads a session.
///
/// # Errors
/// As ioctl TIOCSCTTY and dup2(2).
pub fn become_terminal(terminal: &OwnedFd) -> Result<(), Failure> {
    ioctl_tiocsctty(terminal)
        .map_err(|e| Failure::of("ioctl(terminal, TIOCSCTTY)", e))?;
    dup2_stdin(terminal)
        .and_then(|()| dup2_stdout(terminal))
        .and_then(|()| dup2_stderr(terminal))
        .map_err(|e| Failure::of("dup2(terminal)", e))
}

/// Whoever reads our output waits for its end: they need not wait for a process
/// that we leave behind. It gets no Ctrl-C either.
///
/// # Errors
/// As open(2), dup2(2) and setsid(2).
pub fn leave_terminal() -> nix::Result<()> {
    let null =
        open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    setsid().map(drop)
}
