//! What all attacks have in common.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;

/// An attack: what it is, and what it does.
#[derive(Debug)]
pub struct Attack {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it tries, in one line.
    pub tries: &'static str,
    /// Below this it works; from here on it does not.
    pub stopped: StoppedBy,
    /// The rule of the kernel that stops it.
    pub rule: &'static str,
    /// Where that rule is written, or the name of the known hole.
    pub source: &'static str,
    /// The facts that it needs.
    pub arguments: &'static [Argument],
    /// The attack itself.
    pub(crate) run: fn(&Arguments) -> Try,
}

impl Attack {
    /// Tries it. `typed` are its arguments, as many as were given.
    ///
    /// # Errors
    /// When the program failed, and nothing was found out.
    pub fn run(
        &self,
        typed: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Outcome> {
        match (self.run)(&Arguments::new(self, typed)) {
            Ok(outcome) | Err(Ended::With(outcome)) => Ok(outcome),
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    /// How long it stays after its verdict.
    ///
    /// # Errors
    /// When that is not a number.
    pub fn stay(
        &self,
        typed: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Duration> {
        let arguments = Arguments::new(self, typed);
        match arguments.get(STAY.name) {
            Some(_) => Ok(Duration::from_secs(arguments.number(STAY.name)?)),
            None => Ok(Duration::ZERO),
        }
    }
}

/// What stops an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedBy {
    /// What every step has: `steps/runtime`.
    Runtime,
    /// The feature of the step of this number.
    Step(u8),
    /// An option of the step of this number. Without it that step lets the
    /// attack through.
    Option(u8, &'static str),
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self {
            StoppedBy::Runtime => "runtime".to_owned(),
            StoppedBy::Step(number) => format!("step {number:02}"),
            StoppedBy::Option(number, option) => {
                format!("step {number:02} {option}")
            }
        })
    }
}

/// A fact that an attack needs to know.
#[derive(Debug)]
pub struct Argument {
    /// Its name in the usage text.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// What is used when it is left out. `None`: only the host can say.
    pub default: Option<&'static str>,
}

impl Argument {
    /// One that can be left out.
    pub(crate) const fn new(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Argument {
        Argument { name, help, default: Some(default) }
    }

    /// One that only the host knows.
    pub(crate) const fn fact(
        name: &'static str,
        help: &'static str,
    ) -> Argument {
        Argument { name, help, default: None }
    }
}

/// The host's file that an attack reads, to show that it got there.
pub(crate) const FILE: Argument = Argument::new(
    "FILE",
    "/etc/os-release",
    "a file of the host that the container does not have",
);

/// A process of the host. There is no default: a number that happens to be
/// somebody's is no target.
pub(crate) const PID: Argument =
    Argument::fact("PID", "a process of the host; there: sleep 1000 & echo $!");

/// How long an attack stays after its verdict, so that somebody can look.
pub(crate) const STAY: Argument = Argument::new(
    "STAY",
    "0",
    "seconds to stay afterwards, so that you can \
                                look",
);

/// The arguments of one run, by their names.
#[derive(Debug)]
pub struct Arguments(Vec<(&'static str, String)>);

impl Arguments {
    /// What was typed, in the order of `of`, and the defaults for the rest.
    fn new(of: &Attack, typed: impl IntoIterator<Item = String>) -> Arguments {
        let mut typed = typed.into_iter();
        let value = |argument: &Argument| {
            let value =
                typed.next().or_else(|| argument.default.map(str::to_owned));
            value.map(|value| (argument.name, value))
        };
        Arguments(of.arguments.iter().filter_map(value).collect())
    }

    /// One that can be missing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One that has a default.
    pub(crate) fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.get(name).with_context(|| format!("no {name} given"))
    }

    /// [`PID`], which only the host can say.
    pub(crate) fn pid(&self) -> Result<i32, Ended> {
        match self.get(PID.name) {
            Some(_) => Ok(self.number(PID.name)?),
            None => {
                Err(Outcome::CannotTry(format!("name a PID: {}", PID.help))
                    .into())
            }
        }
    }

    /// One that is a number.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> anyhow::Result<T> {
        let text = self.text(name)?;
        text.parse().ok().with_context(|| {
            format!("{name} is {text:?}, which is not a number")
        })
    }
}

/// What an attack returns: `?` may end it early with a verdict too.
pub(crate) type Try = Result<Outcome, Ended>;

/// Why an attack ended early.
#[derive(Debug)]
pub(crate) enum Ended {
    With(Outcome),
    Failed(anyhow::Error),
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Ended {
        Ended::With(outcome)
    }
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Ended {
        Ended::Failed(error)
    }
}

/// For the call that an attack consists of: a refusal is its verdict.
pub(crate) trait OrStopped<T> {
    fn or_stopped(self, call: impl fmt::Display) -> Result<T, Ended>;
}

impl<T, E: Into<io::Error>> OrStopped<T> for Result<T, E> {
    fn or_stopped(self, call: impl fmt::Display) -> Result<T, Ended> {
        self.map_err(|error| Ended::With(Outcome::refused(call, error)))
    }
}

/// How an attack ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It worked: what was gained.
    Worked(String),
    /// It did its part. Whether it worked can be seen outside: where to look.
    Done(String),
    /// It was stopped: by which answer.
    Stopped(String),
    /// It can't be tried here: why.
    CannotTry(String),
}

impl Outcome {
    /// Stopped by the kernel's answer to `call`.
    pub(crate) fn refused(
        call: impl fmt::Display,
        error: impl Into<io::Error>,
    ) -> Outcome {
        Outcome::Stopped(format!("{} from {call}", name_of(&error.into())))
    }

    /// The word that it begins with.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Worked(_) => "WORKED",
            Outcome::Done(_) => "DONE",
            Outcome::Stopped(_) => "STOPPED",
            Outcome::CannotTry(_) => "CAN'T BE TRIED",
        }
    }

    /// What follows the word.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Outcome::Worked(text)
            | Outcome::Done(text)
            | Outcome::Stopped(text)
            | Outcome::CannotTry(text) => text,
        }
    }

    /// The exit status of the program.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Outcome::Worked(_) | Outcome::Done(_) => 0,
            Outcome::Stopped(_) => 1,
            Outcome::CannotTry(_) => 3,
        }
    }
}

/// `EPERM`, not "Operation not permitted".
fn name_of(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", Errno::from_raw(number)),
        None => error.to_string(),
    }
}
