//! The container tells what it does: every kernel call, before it is made.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use colored::Colorize;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Because, Failure};
use crate::quote::one_line;
use crate::signals::Signals;

/// On which side of the wall something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the runtime's own process.
    Host,
    /// In the container's first process.
    Inside,
}

/// Words that are put together when somebody reads them: with `--quiet`, nobody
/// does.
#[derive(Debug)]
pub struct Told<F>(pub F);

impl<F: Fn() -> String> Display for Told<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&(self.0)())
    }
}

/// Tells one line a kernel call, on stderr. stdout belongs to the command.
#[derive(Debug)]
pub struct Narrator<'a> {
    quiet: bool,
    notes: bool,
    /// Where a person presses Enter before each call.
    pause: Option<RefCell<File>>,
    /// Our own descriptor: the command's terminal takes the place of fd 2.
    stderr: RefCell<File>,
    signals: &'a Signals,
}

impl<'a> Narrator<'a> {
    /// # Errors
    /// With `pause` and no terminal to press Enter in, that of opening /dev/tty.
    pub fn new(
        quiet: bool,
        pause: bool,
        signals: &'a Signals,
    ) -> Result<Narrator<'a>, Failure> {
        colored::control::set_override(
            io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        );
        let stderr = io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|e| Failure::of("dup(2) of stderr", e))?;
        let pause = match pause {
            false => None,
            true => Some(RefCell::new(File::open("/dev/tty").map_err(|e| {
                Failure::of("open(\"/dev/tty\")", e)
            })
            .because(
                Errno::ENXIO,
                "--pause waits for Enter in a terminal: start it from one",
            )?)),
        };
        Ok(Narrator {
            quiet,
            notes: !quiet,
            pause,
            stderr: RefCell::new(File::from(stderr)),
            signals,
        })
    }

    /// Calls are not told, notes are.
    #[must_use]
    pub fn of_notes(self) -> Narrator<'a> {
        Narrator { notes: true, ..self }
    }

    /// Makes a kernel call, after saying so.
    ///
    /// `call` has the real arguments, `why` says what it is for, `shell` is
    /// the command that does the same by hand.
    ///
    /// # Errors
    /// The kernel's answer together with `call`; or [`Failure::Interrupted`]
    /// when a signal asks us to stop during a pause.
    pub fn call<T, E: Into<io::Error>>(
        &self,
        side: Side,
        call: impl Display,
        why: &str,
        shell: impl Display,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.tell(side, &call, why, &shell)?;
        body().map_err(|error| Failure::of(call, error))
    }

    /// For work that takes its time: whether somebody asked us to stop.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] if so.
    pub fn interrupted(&self) -> Result<(), Failure> {
        while let Ok(Some(number)) = self.signals.next() {
            if let Some(signal) = Signals::end(number) {
                return Err(Failure::Interrupted(signal));
            }
        }
        Ok(())
    }

    /// Says that something is left out, and why. Nothing to pause for.
    pub fn note(&self, side: Side, text: impl Display) {
        if self.notes {
            self.line(side, &one_line(text).yellow().to_string());
        }
    }

    /// Says a call that is about to be made, and waits for Enter if it should.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] when a signal asks us to stop meanwhile.
    pub fn tell(
        &self,
        side: Side,
        call: &impl Display,
        why: &str,
        shell: &impl Display,
    ) -> Result<(), Failure> {
        if !self.quiet {
            let (call, shell) = (one_line(call).bold(), one_line(shell).cyan());
            self.line(side, &format!("{call}  {}  ≙ {shell}", why.dimmed()));
        }
        match &self.pause {
            Some(terminal) => self.wait_for_enter(&mut terminal.borrow_mut()),
            None => Ok(()),
        }
    }

    fn line(&self, side: Side, text: &str) {
        let side = match side {
            Side::Host => "host  ".blue(),
            Side::Inside => "inside".green(),
        };
        // One write a line: host and inside speak at the same time. And if
        // nobody reads it, the container matters more than its story.
        let _ = self
            .stderr
            .borrow_mut()
            .write_all(format!("{side}  {text}\n").as_bytes());
    }

    fn wait_for_enter(&self, terminal: &mut File) -> Result<(), Failure> {
        let _ = write!(self.stderr.borrow_mut(), "{}", "        ⏎ ".dimmed());
        loop {
            let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut fds = [wait(terminal.as_fd()), wait(self.signals.as_fd())];
            let ready = poll(&mut fds, PollTimeout::NONE);
            ready.map_err(|errno| {
                Failure::of("poll(2) of the terminal", errno)
            })?;
            let typed = fds[0].any().unwrap_or(true);
            self.interrupted()?;
            if typed {
                let mut line = [0; 256];
                // The end of input is as good an answer as Enter.
                let _ = terminal.read(&mut line);
                return Ok(());
            }
        }
    }
}
