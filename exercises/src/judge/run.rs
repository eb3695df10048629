//! A learner's program at work: bounded in time, processes and output.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use testbed::{crowd, needs, proc, token};

use super::look;
use super::verdict::Failure;

/// A tmpfs of the judge's own: an overlay can have its upper layer there.
pub(super) const PLACE: &str = "/run/exercise";

/// The errors with which a program ends early, and the hint that fits each.
pub type Errors = &'static [(Errno, &'static str)];

/// How long a program may take to do what is asked of it, on a machine with
/// nothing else to do.
const PATIENCE: Duration = Duration::from_secs(6);

/// That a machine is slow or busy is no fault of the program.
fn patience() -> Duration {
    PATIENCE * if needs::is_emulated() { 5 } else { crowd() }
}

/// More processes than any exercise needs: the kernel refuses the next one.
const MOST_PROCESSES: usize = 300;

const ENDED_EARLY: &str = "Read what it said, from the left: what was tried, \
                           and what the kernel answered.";
const FORKS: &str = "Something starts itself again and again. Can a program \
                     that starts /proc/self/exe tell by its arguments that it \
                     is the second one?";
const HANGS: &str = "What does it wait for? A read from a pipe ends when \
                     somebody writes, or when every writing end is closed; a \
                     wait, when the child ends.";

/// The program, about to start or running. It is killed when this is dropped.
#[derive(Debug)]
pub struct Run {
    errors: Errors,
    command: Command,
    said: PathBuf,
    child: Option<Child>,
    stdin: Option<ChildStdin>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// By itself, or by a signal.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Run {
    pub(super) fn new<S: AsRef<OsStr>>(
        errors: Errors,
        host: i32,
        program: &Path,
        wrapper: &[S],
    ) -> Run {
        // The host's mounts: whoever breaks them does not break the judge's.
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{host}/ns/mnt"));
        command.args([&*format!("--wd={PLACE}"), "--", "prlimit"]);
        command.arg(format!("--nproc={MOST_PROCESSES}"));
        command.args(["--fsize=67108864", "--core=0", "--"]);
        command.args(wrapper).arg(program).env_remove("RUST_BACKTRACE");
        let said = Path::new(PLACE).join(token());
        Run { errors, command, said, child: None, stdin: None }
    }

    /// Its arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(
        mut self,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        self.command.args(args);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(mut self) -> Run {
        let file = |end| File::create(self.said.with_extension(end));
        let (out, err) =
            (file("out").expect("a file"), file("err").expect("a file"));
        self.command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut child = self.command.spawn().expect("start the program");
        self.stdin = child.stdin.take();
        self.child = Some(child);
        self
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was not started.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("it was started").id() as i32
    }

    /// Its first child.
    ///
    /// # Errors
    /// When it has none any more.
    pub fn child(&self) -> Result<i32, Failure> {
        let children = proc::children(self.pid());
        children.first().copied().ok_or_else(|| {
            Failure::new("your program has ended", "it runs", ENDED_EARLY)
        })
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.text("out")
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.text("err")
    }

    fn text(&self, end: &str) -> String {
        let bytes = fs::read(self.said.with_extension(end)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// Waits until a process executes `command`, and returns its id.
    ///
    /// # Errors
    /// When the program ends, hangs, or forks without end instead.
    pub fn reaches(&mut self, command: &[String]) -> Result<i32, Failure> {
        let expected =
            format!("a process that executes `{}`", command.join(" "));
        self.until(&expected, |_| look::who_executes(command))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not come.
    pub fn ends(&mut self) -> Result<Ended, Failure> {
        let status = self.until("the end of your program", |run| {
            run.child.as_mut()?.try_wait().ok().flatten()
        })?;
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Ok(Ended { status, stdout, stderr })
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// When it is not, in time, or before the program's end.
    pub fn until<T>(
        &mut self,
        expected: &str,
        mut ask: impl FnMut(&mut Run) -> Option<T>,
    ) -> Result<T, Failure> {
        let begin = Instant::now();
        loop {
            // In this order: what was so at its end counts.
            let ended = self.ended();
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            let count = proc::all().len();
            if count > MOST_PROCESSES * 9 / 10 {
                return Err(Failure::new(
                    format!(
                        "{count} processes, and more every moment: a fork bomb"
                    ),
                    expected,
                    FORKS,
                ));
            }
            if let Some(status) = ended {
                return Err(self.ended_early(status, expected));
            }
            let passed = begin.elapsed();
            if passed > PATIENCE && passed > patience() {
                let seconds = passed.as_secs();
                return Err(Failure::new(
                    format!(
                        "nothing after {seconds} seconds: it hangs{}",
                        self.last_words()
                    ),
                    expected,
                    HANGS,
                ));
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// Why, by its own words.
    #[must_use]
    pub fn ended_early(&self, status: ExitStatus, expected: &str) -> Failure {
        let stderr = self.stderr();
        let known = self.errors.iter();
        let mut known = known.filter(|(errno, _)| {
            // As nix says it, and as std does.
            let std = format!("(os error {})", *errno as i32);
            stderr.contains(&format!("{errno:?}")) || stderr.contains(&std)
        });
        let hint = known.next().map_or(ENDED_EARLY, |(_, hint)| hint);
        let observed = format!(
            "your program ended too early ({}){}",
            how(status),
            self.last_words()
        );
        Failure::new(observed, expected, hint)
    }

    /// The end of what it wrote, to be shown.
    fn last_words(&self) -> String {
        let stderr = self.stderr();
        let said = if stderr.is_empty() { self.stdout() } else { stderr };
        let lines: Vec<_> =
            said.lines().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return ", and said nothing".into();
        }
        let last = lines[lines.len().saturating_sub(6)..].iter();
        let last = last.map(|line| format!("\n  | {line:.200}"));
        format!(", and said:{}", last.collect::<String>())
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Whether it has.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }
}

/// An end in words.
#[must_use]
pub fn how(status: ExitStatus) -> String {
    let signal = status.signal().and_then(|n| Signal::try_from(n).ok());
    match (status.code(), signal) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by {signal}"),
        (None, None) => "killed by a signal".into(),
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
