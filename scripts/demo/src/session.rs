//! The bash that the demo's commands run in, and the person who watches it.

use std::collections::VecDeque;
use std::io::{Read, Write, stdin};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr,
    tcsetattr,
};
use pty_process::Size;
use pty_process::blocking::{Command, Pts, Pty, open};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::screen::Screen;
use crate::stage::{MARK, Stage};
use crate::{Played, Stop};

pub struct Session {
    pub screen: Screen,
    /// What the last command printed, as it came.
    printed: Vec<u8>,
    /// Came, and may be the beginning of a status.
    held: Vec<u8>,
    status: Option<i32>,
    keys: VecDeque<u8>,
    person: Option<Person>,
    signals: UnixStream,
    bash: Child,
    commands: ChildStdin,
    pty: Pty,
    /// Held, so that the terminal stays when nobody else has it open.
    _pts: Pts,
}

/// It reads commands, which end with a zero byte, and tells each one's status.
const LOOP: &str = r#"exec 3<&0 </dev/null
set -a
while IFS= read -r -d '' -u 3 command; do
  eval "$command" 3<&-
  printf '\e]7777;status;%d\a' "$?"
done"#;
const STATUS: &[u8] = b"\x1b]7777;status;";
const END_OF_STATUS: u8 = 0x07;

impl Session {
    pub fn start(
        stage: &Stage,
        screen: Screen,
        person: Option<Person>,
        environment: &[(&str, &str)],
    ) -> Result<Session> {
        let (signals, sender) = UnixStream::pair()?;
        // What bash starts has their defaults, whatever our caller ignores.
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            pipe::register(signal, sender.try_clone()?)?;
        }
        let (pty, pts) = open().context("open a terminal")?;
        let mut bash = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", LOOP, "bash"])
            .stdin(Stdio::piped())
            .current_dir(&stage.directory)
            .env(MARK, &stage.directory)
            .envs([("SHELL", "/bin/bash"), ("HISTFILE", "/dev/null")])
            .envs(environment.iter().copied())
            .spawn_borrowed(&pts)
            .context("start bash")?;
        Ok(Session {
            screen,
            printed: Vec::new(),
            held: Vec::new(),
            status: None,
            keys: VecDeque::new(),
            person,
            signals,
            commands: bash.stdin.take().context("a pipe")?,
            bash,
            pty,
            _pts: pts,
        })
    }

    /// Runs it: its status, and the text that it printed.
    pub fn run(&mut self, command: &str) -> Played<(i32, String)> {
        self.begin(command)?;
        loop {
            if let Some(status) = self.status.take() {
                return Ok((status, self.screen.text_of(&self.printed)));
            }
            self.look(LONG)?;
        }
    }

    /// Runs it and sends it all keys, until it ends.
    pub fn run_with_keys(&mut self, command: &str) -> Played<()> {
        if let Some(person) = &self.person {
            person.types_into_a_program()?;
        }
        self.begin(command)?;
        while self.status.take().is_none() {
            self.look(LONG)?;
            self.fit()?;
            let keys: Vec<u8> = self.keys.drain(..).collect();
            self.pty.write_all(&keys)?;
        }
        if let Some(person) = &self.person {
            person.presses_keys()?;
        }
        Ok(())
    }

    fn begin(&mut self, command: &str) -> Played<()> {
        self.printed.clear();
        self.fit()?;
        self.commands.write_all(command.as_bytes())?;
        Ok(self.commands.write_all(&[0])?)
    }

    /// The other terminal is as large as this one. To the same size, it is a no-op.
    fn fit(&self) -> Result<()> {
        let (rows, columns) = self.screen.size();
        Ok(self.pty.resize(Size::new(rows, columns))?)
    }

    pub fn wait(&mut self, time: Duration) -> Played<()> {
        let end = Instant::now() + time;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            self.look(rest.min(LONG))?;
            if rest.is_zero() {
                return Ok(());
            }
        }
    }

    /// Whether a person has pressed something that nobody has looked at.
    pub fn is_pressed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Waits for a key. A clicker's, and the arrow to the right, are Enter.
    pub fn key(&mut self) -> Played<u8> {
        while self.keys.is_empty() {
            self.look(LONG)?;
        }
        let first = self.keys.pop_front();
        if first != Some(ESCAPE) || self.keys.front() != Some(&b'[') {
            return Ok(first.unwrap_or(ESCAPE));
        }
        let is_last = |it: &u8| it.is_ascii_alphabetic() || *it == b'~';
        let last = self.keys.iter().position(is_last);
        let rest = ..last.map_or(self.keys.len(), |last| last + 1);
        match &self.keys.drain(rest).collect::<Vec<_>>()[..] {
            b"[C" | b"[6~" => Ok(b'\r'),
            _ => Ok(ESCAPE),
        }
    }

    /// What happens within this time: something comes from bash, a key, a signal.
    fn look(&mut self, time: Duration) -> Played<()> {
        let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let input = stdin();
        let mut fds = vec![wait(self.pty.as_fd()), wait(self.signals.as_fd())];
        if self.person.is_some() {
            fds.push(wait(input.as_fd()));
        }
        poll(&mut fds, time.as_millis() as u16).or_else(interrupted)?;
        let is_ready = |fd: &PollFd| fd.any() == Some(true);
        let ready: Vec<bool> = fds.iter().map(is_ready).collect();
        if ready[1] {
            return Err(Stop::Status(130));
        }
        let mut bytes = [0; 4096];
        if ready[0] {
            let length = self.pty.read(&mut bytes)?;
            self.hear(&bytes[..length])?;
        } else if self.bash.try_wait()?.is_some() {
            return Err(anyhow!("The demo's shell has ended.").into());
        }
        if ready.get(2) == Some(&true) {
            match rustix::io::read(&input, &mut bytes)? {
                0 => return Err(Stop::Status(0)), // no terminal any more
                length => self.keys.extend(&bytes[..length]),
            }
        }
        Ok(())
    }

    /// Takes the status out of what comes from bash.
    fn hear(&mut self, bytes: &[u8]) -> Played<()> {
        self.held.extend_from_slice(bytes);
        let mut windows = self.held.windows(STATUS.len());
        let whole = windows.position(|it| it == STATUS).and_then(|at| {
            let rest = &self.held[at..];
            Some((at, rest.iter().position(|it| *it == END_OF_STATUS)?))
        });
        if let Some((at, end)) = whole {
            let told: Vec<u8> = self.held.drain(at..=at + end).collect();
            let status = String::from_utf8_lossy(&told[STATUS.len()..end]);
            self.status = Some(status.parse()?);
        }
        let last = self.held.iter().rposition(|byte| *byte == ESCAPE);
        let begins = |at: &usize| {
            let rest = &self.held[*at..];
            rest.starts_with(STATUS) || STATUS.starts_with(rest)
        };
        let complete = last.filter(begins).unwrap_or(self.held.len());
        let bytes: Vec<u8> = self.held.drain(..complete).collect();
        self.printed.extend_from_slice(&bytes);
        self.screen.relay(&bytes)
    }
}

/// A signal that we do not handle is no reason to end.
fn interrupted(error: Errno) -> nix::Result<i32> {
    if error == Errno::EINTR { Ok(0) } else { Err(error) }
}

const ESCAPE: u8 = 0x1b;
const LONG: Duration = Duration::from_millis(500);

/// A terminal's settings are given back when the demo ends.
pub struct Person(Termios);

impl Person {
    pub fn at_the_terminal() -> Result<Person> {
        let person = Person(tcgetattr(stdin())?);
        person.presses_keys()?;
        Ok(person)
    }

    /// Each key counts at once, and is not shown. Ctrl-C ends the demo.
    fn presses_keys(&self) -> Result<()> {
        let mut settings = self.0.clone();
        settings.local_flags -= LocalFlags::ICANON | LocalFlags::ECHO;
        settings.control_chars[SpecialCharacterIndices::VSUSP as usize] = 0;
        Ok(tcsetattr(stdin(), SetArg::TCSANOW, &settings)?)
    }

    /// The other terminal does what this one would: Ctrl-C is for the program.
    fn types_into_a_program(&self) -> Result<()> {
        let mut settings = self.0.clone();
        cfmakeraw(&mut settings);
        Ok(tcsetattr(stdin(), SetArg::TCSANOW, &settings)?)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.0);
    }
}
