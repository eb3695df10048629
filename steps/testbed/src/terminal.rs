//! A terminal with a person in front of it (pty(7)).

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use pty_process::Size;
use pty_process::blocking::{Pts, Pty};

use crate::patience::{eventually, patience};

/// A terminal, and the program that was started in it. Dropped, it hangs up.
pub struct Terminal {
    pty: Pty,
    /// Held, so that the terminal stays when nobody else has it open.
    _pts: Pts,
    child: Started,
    /// All that it ever showed.
    screen: Vec<u8>,
    /// How much of it was asked for.
    seen: usize,
}

impl Terminal {
    /// Opens a terminal of 24 rows and 80 columns, and starts a program in it
    /// as the leader of a new session.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn start(command: Command) -> Terminal {
        Terminal::of_columns(80, command)
    }

    /// The same, of another width.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn of_columns(columns: u16, command: Command) -> Terminal {
        let (pty, pts) = pty_process::blocking::open().expect("open a pty");
        pty.resize(Size::new(24, columns)).expect("set its size");
        let mut command = pty_process::blocking::Command::from(command);
        let child = command.spawn_borrowed(&pts).expect("start in a pty");
        let child = Started(child);
        Terminal { pty, _pts: pts, child, screen: Vec::new(), seen: 0 }
    }

    /// The process that was started.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.0.id() as i32
    }

    /// Types it, however long it is, and looks at the screen meanwhile.
    ///
    /// # Panics
    /// When nobody takes it.
    pub fn types(&mut self, keys: impl AsRef<[u8]>) {
        let end = Instant::now() + patience();
        let mut rest = keys.as_ref();
        while !rest.is_empty() {
            assert!(
                Instant::now() < end,
                "nobody takes what is typed; it shows {:?}",
                self.unseen()
            );
            let ready = self.poll(PollFlags::POLLIN | PollFlags::POLLOUT);
            if ready.contains(PollFlags::POLLIN) {
                self.look();
            }
            if ready.contains(PollFlags::POLLOUT) {
                // A write that is longer than there is room would wait.
                let some = &rest[..rest.len().min(256)];
                let taken = self.pty.write(some).expect("write to the pty");
                rest = &rest[taken..];
            }
        }
    }

    /// Waits until it shows a text, and returns what came before it since the
    /// last time.
    ///
    /// # Panics
    /// When it does not, or ends before.
    pub fn shows(&mut self, text: &str) -> String {
        let found = self.shows_or_ends(text);
        found.unwrap_or_else(|| {
            panic!("it ended without {text:?}: {:?}", self.unseen())
        })
    }

    /// The same, or `None` if the program ends without it.
    ///
    /// # Panics
    /// When neither comes.
    pub fn shows_or_ends(&mut self, text: &str) -> Option<String> {
        let end = Instant::now() + patience();
        loop {
            let gone = self.child.0.try_wait().expect("wait for it").is_some();
            let more = self.look();
            let unseen = &self.screen[self.seen..];
            let mut windows = unseen.windows(text.len());
            if let Some(at) = windows.position(|w| w == text.as_bytes()) {
                let before = String::from_utf8_lossy(&unseen[..at]).into();
                self.seen += at + text.len();
                return Some(before);
            }
            if gone && !more {
                return None;
            }
            assert!(
                Instant::now() < end,
                "it does not show {text:?}, but {:?}",
                self.unseen()
            );
            if !more {
                self.poll(PollFlags::POLLIN);
            }
        }
    }

    /// Waits for the program's end: its exit status (or 128+n), and what the
    /// terminal showed since the last time. The terminal stays.
    ///
    /// # Panics
    /// When it does not end.
    pub fn finish(&mut self) -> (i32, String) {
        let end = Instant::now() + patience();
        loop {
            let status = self.child.0.try_wait().expect("wait for it");
            while self.look() {}
            if let Some(status) = status {
                let code = status.code();
                let signal = status.signal().map(|number| 128 + number);
                return (code.or(signal).expect("an end"), self.unseen());
            }
            assert!(
                Instant::now() < end,
                "it does not end; it shows {:?}",
                self.unseen()
            );
            self.poll(PollFlags::POLLIN);
        }
    }

    /// Gives the window another size.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.pty.resize(Size::new(rows, columns)).expect("set its size");
    }

    /// How it is set: echo, signals, lines (termios(3)).
    ///
    /// # Panics
    /// When the kernel refuses.
    #[must_use]
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.pty).expect("tcgetattr")
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("signal it");
    }

    /// The window is closed. Returns when the program has ended.
    ///
    /// # Panics
    /// When it goes on without a terminal.
    pub fn hang_up(self) {
        let Terminal { pty, _pts, mut child, .. } = self;
        drop((pty, _pts));
        eventually("the end after the hang-up", || {
            child.0.try_wait().expect("wait for it")
        });
    }

    fn unseen(&self) -> String {
        String::from_utf8_lossy(&self.screen[self.seen..]).into_owned()
    }

    /// Takes what there is to see; whether there was anything.
    fn look(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let mut fds = [PollFd::new(self.pty.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        if !fds[0].any().unwrap_or(true) {
            return false;
        }
        match self.pty.read(&mut bytes) {
            Ok(length) => {
                self.screen.extend_from_slice(&bytes[..length]);
                length > 0
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }

    /// Waits a moment for something to happen.
    fn poll(&self, events: PollFlags) -> PollFlags {
        let mut fds = [PollFd::new(self.pty.as_fd(), events)];
        let _ = poll(&mut fds, 5_u8);
        fds[0].revents().unwrap_or(PollFlags::empty())
    }
}

/// Nobody's when it is dropped: killed, and waited for.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
