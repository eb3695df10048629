//! One exercise at a time: shown, watched, checked at each save.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use colored::Colorize;

use crate::check::Place::{self, Playground};
use crate::judge::Verdict;
use crate::mine::{Mine, Progress, State};
use crate::program::{Compiled, compile};
use crate::screen::{self, say};
use crate::{ALL, Exercise, check};

/// How often we look at the file. Not every kind of file system delivers events
/// (network, WSL, containers). A look always works, and one file five times a
/// second costs nothing.
const LOOK: Duration = Duration::from_millis(200);

const KEYS: &str = "Save the file to check it. Or type a letter and Enter: \
                    h hint · t task\nl list · s skip · q quit";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Passed,
    Failed,
    Skipped,
}

impl Came {
    fn status(self) -> ExitCode {
        ExitCode::from(match self {
            Came::Passed => 0,
            Came::Failed => 1,
            Came::Skipped => 3,
        })
    }
}

/// Shows the next exercise until all are passed, or somebody quits.
///
/// # Errors
/// When there is no verdict.
pub fn watch(checkout: &Path, mine: &mut Mine) -> Result<ExitCode> {
    warn_of_playground();
    let keys = keys();
    while let Some(exercise) = mine.next() {
        screen::task(exercise, mine);
        if !solve(checkout, mine, exercise, &keys)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    say("All exercises are passed. The kernel has no objections left.");
    Ok(ExitCode::SUCCESS)
}

/// What is written in a playground is gone with it.
fn warn_of_playground() {
    if std::env::var_os("PLAYGROUND").is_some() {
        say(format_args!(
            "{} You are in the playground: your copies and your progress are \
             gone when you leave it.\nBetter: exit, and start cargo exercise \
             outside. It makes a playground for each check.",
            "Careful.".yellow().bold()
        ));
    }
}

/// Until it passes, is skipped (true), or somebody quits (false).
fn solve(
    checkout: &Path,
    mine: &mut Mine,
    exercise: &'static Exercise,
    keys: &Receiver<Option<String>>,
) -> Result<bool> {
    let mut seen = None;
    let mut done = false;
    loop {
        let now = stamp(&mine.file(exercise));
        if now != seen && now.is_some() {
            seen = now;
            say("");
            match check_and_tell(checkout, mine, Playground, exercise) {
                Ok(came) => done = came != Came::Failed,
                // The next save may find things in order again.
                Err(error) => say(format_args!("exercise: {error:#}")),
            }
            say("");
            if done {
                say("Enter: the next one · q quit · or go on with this one");
            } else {
                say(KEYS.dimmed());
            }
        }
        let Ok(key) = keys.recv_timeout(LOOK) else { continue };
        match key.as_deref().map(str::trim) {
            None | Some("q") => return Ok(false),
            Some("" | "n") if done => return Ok(true),
            Some("h") => hint(mine, exercise)?,
            Some("t") => screen::task(exercise, mine),
            Some("l") => screen::list(mine),
            Some("s") => {
                skip(mine, exercise)?;
                return Ok(true);
            }
            Some(_) => say(KEYS.dimmed()),
        }
    }
}

/// When it was last written, and its size. `None` while an editor replaces it.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let file = fs::metadata(file).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// Lines from the keyboard; `None` at its end. Without a terminal nobody types.
fn keys() -> Receiver<Option<String>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let stdin = std::io::stdin();
        for line in stdin.lock().lines().map_while(Result::ok) {
            let _ = sender.send(Some(line));
        }
        if stdin.is_terminal() {
            let _ = sender.send(None);
        }
        // Held, so that waiting for a key stays waiting.
        loop {
            thread::park();
        }
    });
    receiver
}

/// Checks one, and remembers what became of it.
///
/// # Errors
/// When there is no verdict.
pub fn check_once(
    checkout: &Path,
    mine: &mut Mine,
    place: Place,
    exercise: &'static Exercise,
) -> Result<ExitCode> {
    Ok(check_and_tell(checkout, mine, place, exercise)?.status())
}

/// Checks all.
///
/// # Errors
/// When there is no verdict.
pub fn check_all(checkout: &Path, mine: &mut Mine) -> Result<ExitCode> {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for exercise in ALL {
        match check_and_tell(checkout, mine, Playground, exercise)? {
            Came::Passed => passed += 1,
            Came::Failed => failed += 1,
            Came::Skipped => skipped += 1,
        }
    }
    say(format_args!(
        "\n{passed} passed, {failed} failed, {skipped} skipped of {}",
        ALL.len()
    ));
    let came = match (failed, passed) {
        (0, 0) => Came::Skipped,
        (0, _) => Came::Passed,
        _ => Came::Failed,
    };
    Ok(came.status())
}

fn check_and_tell(
    checkout: &Path,
    mine: &mut Mine,
    place: Place,
    exercise: &'static Exercise,
) -> Result<Came> {
    let colour = colored::control::SHOULD_COLORIZE.should_colorize();
    let package = mine.directory();
    let (program, warnings) = match compile(package, exercise.name, colour)? {
        Compiled::Program(program, warnings) => (program, warnings),
        Compiled::Errors(errors) => {
            say(format_args!(
                "{} {}",
                "DOES NOT COMPILE".red().bold(),
                exercise.name
            ));
            say(errors.trim_end());
            return Ok(Came::Failed);
        }
    };
    let binary = std::env::current_exe()?;
    let told = check::check(checkout, &binary, place, exercise, &program)?;
    screen::verdict(exercise, &told);
    if !warnings.is_empty() {
        say(format_args!("\nThe compiler warns:\n{}", warnings.trim_end()));
    }
    let progress = mine.progress(exercise);
    Ok(match told.verdict {
        Verdict::Pass(_) => {
            mine.set(exercise, Progress { state: State::Passed, ..progress })?;
            Came::Passed
        }
        Verdict::Fail(_) => Came::Failed,
        Verdict::Skip(_) => {
            // What was solved elsewhere stays solved.
            if progress.state == State::Open {
                let state = State::Skipped;
                mine.set(exercise, Progress { state, ..progress })?;
            }
            Came::Skipped
        }
    })
}

/// Shows the next hint, and after the last one the first again.
///
/// # Errors
/// When the count can't be kept.
pub fn hint(mine: &mut Mine, exercise: &Exercise) -> Result<()> {
    let mut progress = mine.progress(exercise);
    screen::hint(exercise, progress.hints % exercise.hints.len());
    progress.hints += 1;
    mine.set(exercise, progress)
}

/// Shows the solution, after a pass or when asked twice.
///
/// # Errors
/// When the count can't be kept.
pub fn solution(mine: &mut Mine, exercise: &Exercise) -> Result<()> {
    let mut progress = mine.progress(exercise);
    progress.solutions += 1;
    let told = progress.state == State::Passed || progress.solutions > 1;
    match told {
        true => say(exercise.solution.trim_end()),
        false => say(format_args!(
            "You have not passed {0} yet. Ask once more, and you get it.\n\
             A hint first? cargo exercise hint {0}",
            exercise.name
        )),
    }
    mine.set(exercise, progress)
}

/// Puts it off.
///
/// # Errors
/// When that can't be remembered.
pub fn skip(mine: &mut Mine, exercise: &Exercise) -> Result<()> {
    let progress = mine.progress(exercise);
    mine.set(exercise, Progress { state: State::Skipped, ..progress })
}
