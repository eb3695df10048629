//! A step's binary at work.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::needs::{self, skip};
use crate::patience::{eventually, patience};
use crate::proc;
use crate::said::{Said, listen};
use crate::story::unfolded;
use crate::terminal::Terminal;

/// A program may be silent for longer until its end than between its lines.
fn patience_for_the_end() -> Duration {
    patience() * 5
}

/// The checkout that we are in. It may lie elsewhere than where it was built.
///
/// # Panics
/// When we are in none.
#[must_use]
pub fn checkout() -> PathBuf {
    let here = std::env::current_dir().expect("a working directory");
    let root = here.ancestors().find(|dir| dir.join("steps/testbed").is_dir());
    root.expect("run this somewhere in the checkout").to_owned()
}

/// The path of a binary of this workspace: beside the tests, or where
/// `WORKSHOP_BIN` says.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("our own path");
    // target/debug/deps/TEST-HASH, and the binary in target/debug.
    let beside = exe.ancestors().nth(2).expect("a directory").join(name);
    let named = || std::env::var_os("WORKSHOP_BIN").map(PathBuf::from);
    let path = match beside.is_file() {
        true => beside,
        false => named().unwrap_or_default().join(name),
    };
    assert!(
        path.is_file(),
        "{} is not there: cargo build --workspace",
        path.display()
    );
    path
}

/// A container that is about to start.
#[derive(Debug)]
pub struct Step {
    command: Command,
    tells: bool,
}

impl Step {
    /// A step by the name of its binary. Quiet, unless told otherwise.
    #[must_use]
    pub fn new(name: &str) -> Step {
        let mut command = Command::new(binary(name));
        command.arg("--quiet");
        Step::from(command)
    }

    /// With its narration, as it is told by default.
    #[must_use]
    pub fn telling(name: &str) -> Step {
        let mut command = Command::new(binary(name));
        command.env("LC_ALL", "C.UTF-8");
        Step { tells: true, ..Step::from(command) }
    }

    /// With a narration of every call.
    #[must_use]
    pub fn telling_all(name: &str) -> Step {
        Step::telling(name).args(["--all"])
    }

    /// A script of the checkout, started there, with the binaries that we test.
    #[must_use]
    pub fn script(name: &str) -> Step {
        let mut command = Command::new(checkout().join("scripts").join(name));
        let steps = binary("01-chroot");
        let steps = steps.parent().expect("a directory");
        command.current_dir(checkout()).env("WORKSHOP_BIN", steps);
        Step::from(command)
    }

    /// Options, then the command.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(
        mut self,
        args: impl IntoIterator<Item = S>,
    ) -> Step {
        self.command.args(args);
        self
    }

    /// No step, but a script for the host's shell, to be measured as steps are.
    #[must_use]
    pub fn shell(script: &str) -> Step {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        Step::from(command)
    }

    /// No step either, but a program of the host.
    #[must_use]
    pub fn program(name: &str) -> Step {
        Step::from(Command::new(name))
    }

    /// An option and its value, a path.
    #[must_use]
    pub fn arg(self, option: &str, value: impl AsRef<Path>) -> Step {
        self.args([OsStr::new(option), value.as_ref().as_os_str()])
    }

    /// A command line for the shell inside.
    #[must_use]
    pub fn sh(self, script: &str) -> Step {
        self.args(["--", "/bin/sh", "-c", script])
    }

    /// As an ordinary user, whose cache directory is `home`. Where we are one
    /// ourselves, we stay who we are. Skips the claim where there is no second
    /// user id, or where that user can't execute the step.
    #[must_use]
    pub fn as_somebody(mut self, home: &Path) -> Step {
        const SOMEBODY: u32 = 12345;
        self.command.env("XDG_CACHE_HOME", home);
        let mut look = Command::new(self.command.get_program());
        if needs::is_root() {
            if chown(home, Some(SOMEBODY), Some(SOMEBODY)).is_err() {
                skip("needs a second user id");
            }
            self.command.uid(SOMEBODY).gid(SOMEBODY);
            look.uid(SOMEBODY).gid(SOMEBODY);
        }
        if !look.arg("--help").output().is_ok_and(|help| help.status.success())
        {
            skip("an ordinary user can't execute the steps here");
        }
        self
    }

    /// The `std` command, for what this does not offer.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it to its end, without input. What it tells is unfolded.
    ///
    /// # Panics
    /// When it can't be started, or does not end.
    #[must_use]
    pub fn output(mut self) -> Output {
        self.command.stdin(Stdio::null());
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::from(self.command);
        let pipe = running.child.stderr.take().expect("stderr");
        let (mut stderr, end) = (Said::by(pipe), running.patience_ends());
        while listen(&mut [&mut running.stdout, &mut stderr], end) {}
        let status = running.wait(end);
        let stdout = std::mem::take(&mut running.stdout.all);
        let stderr = match self.tells {
            true => unfolded(&String::from_utf8_lossy(&stderr.all)).into(),
            false => stderr.all,
        };
        Output { status, stdout, stderr }
    }

    /// How much of the CPU it needs itself, in seconds: on a busy machine the
    /// clock tells what others do, and so does the time in the kernel, which
    /// waits for others' locks.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn cpu_seconds(self) -> f64 {
        let measure = "TIMEFORMAT=%U; time \"$@\" >/dev/null 2>&1; true";
        let times = self.in_shell(measure).output().stderr;
        let times = String::from_utf8_lossy(&times).into_owned();
        times.trim().parse().expect("seconds")
    }

    /// Its stdout, without the last line feed, after a success.
    ///
    /// # Panics
    /// When its exit status is not 0.
    #[must_use]
    pub fn stdout(self) -> String {
        let output = self.output();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Starts it, with pipes for stdin and stdout. stderr is ours.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Running::from(self.command)
    }

    /// Starts it in a terminal, as the leader of a session.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn on_terminal(self) -> Terminal {
        Terminal::start(self.command)
    }

    /// The same, in a terminal of that width.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn on_terminal_of(self, columns: u16) -> Terminal {
        Terminal::of_columns(columns, self.command)
    }

    /// Hands it to a shell of the host, whose script starts it by `"$@"`. The
    /// shell passes this step's variables on.
    #[must_use]
    pub fn in_shell(self, script: &str) -> Step {
        let mut shell = Command::new("bash");
        shell.args(["-c", script, "bash"]);
        shell.arg(self.command.get_program()).args(self.command.get_args());
        if let Some(directory) = self.command.get_current_dir() {
            shell.current_dir(directory);
        }
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Step { command: shell, ..self }
    }

    /// Starts a shell inside that waits: it is there to be looked at. The
    /// command's own process has really been executed when this returns.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_waiting(self) -> Running {
        let mut running = self.sh("echo ready; read line").start();
        assert_eq!(running.line(), "ready");
        running
    }
}

impl From<Command> for Step {
    fn from(command: Command) -> Step {
        Step { command, tells: false }
    }
}

/// A container that runs. Dropped, its runtime is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Said,
}

impl Running {
    fn from(mut command: Command) -> Running {
        let mut child = command.spawn().expect("start the step");
        let stdin = child.stdin.take();
        let stdout = Said::by(child.stdout.take().expect("stdout"));
        Running { child, stdin, stdout }
    }

    fn patience_ends(&self) -> Instant {
        Instant::now() + patience_for_the_end()
    }

    /// The runtime's process.
    #[must_use]
    pub fn runtime(&self) -> i32 {
        self.child.id() as i32
    }

    /// The container's first process, in our numbers.
    #[must_use]
    pub fn pid(&self) -> i32 {
        let first = || proc::children(self.runtime()).first().copied();
        eventually("the container's first process", first)
    }

    /// The next line of its stdout, without the line feed.
    ///
    /// # Panics
    /// When none comes.
    pub fn line(&mut self) -> String {
        self.stdout.line(Instant::now() + patience())
    }

    /// Says a line to it.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("stdin"), "{line}")
            .expect("somebody listens");
    }

    /// Sends the runtime a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.runtime()), signal)
            .expect("signal the runtime");
    }

    /// Waits, with its stdin left open: its exit status (128+n for a runtime
    /// that was itself killed by signal n).
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(&mut self) -> i32 {
        let ended = || self.child.try_wait().expect("wait for the step");
        code_of(eventually("the end of the step", ended))
    }

    /// Closes its stdin and waits: the exit status (128+n for a runtime that
    /// was itself killed by signal n), and the rest of its stdout.
    ///
    /// # Panics
    /// When it does not end.
    pub fn finish(mut self) -> (i32, String) {
        drop(self.stdin.take());
        let end = self.patience_ends();
        while listen(&mut [&mut self.stdout], end) {}
        let status = self.wait(end);
        (code_of(status), self.stdout.rest())
    }

    fn wait(&mut self, end: Instant) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for it") {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {:?}", self.stdout);
            sleep(Duration::from_millis(1));
        }
    }
}

/// By how much this machine is slower than a laptop, by the clock of its
/// processor: how long a shell takes for fifty programs. 1 and more. A limit of
/// time is multiplied by it: a virtual machine without KVM needs thirty times
/// as long for everything, and a limit for it alone would be none elsewhere.
///
/// # Panics
/// Without bash.
#[must_use]
pub fn slowness() -> f64 {
    const ON_A_LAPTOP: f64 = 0.05;
    let programs = "for i in {1..50}; do /bin/true; done";
    (Step::shell(programs).cpu_seconds() / ON_A_LAPTOP).max(1.0)
}

/// A copy of the default root directory, for a claim to fill and to name.
///
/// # Panics
/// When it can't be made.
pub fn copy_default_root(place: &Path) {
    let container = Step::new("01-chroot").start_waiting();
    let root = format!("/proc/{}/root/.", container.pid());
    let copied = Command::new("cp").arg("-a").arg(root).arg(place).status();
    assert!(copied.expect("cp").success());
}

fn code_of(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|number| 128 + number);
    status.code().or(signal).expect("a code or a signal")
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
