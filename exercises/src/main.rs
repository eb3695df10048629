#![forbid(unsafe_code)]
//! `cargo exercise`: shows the next exercise, and says what the kernel thinks
//! of it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use colored::Colorize;

use exercise::check::Place;
use exercise::judge::become_under;
use exercise::mine::Mine;
use exercise::{Exercise, check, find, program, screen, watch};
use screen::say;

/// Exercises that the kernel marks
///
/// Without a command, it shows the next exercise, and checks it at each save.
/// Your copies are in exercises/mine, or where EXERCISES says.
///
/// Exit status: 0 passed, 1 failed, 3 can't be checked on this host, 125 no
/// verdict.
#[derive(Parser)]
#[command(version, bin_name = "cargo exercise", disable_help_subcommand = true)]
struct Cli {
    /// No colours (as with NO_COLOR=1)
    #[arg(long, visible_alias = "no-color", global = true)]
    no_colour: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// All exercises, and how far you are
    List,
    /// The task of an exercise (default: the next one)
    Task { name: Option<String> },
    /// Check an exercise once (default: the next one)
    Check {
        name: Option<String>,
        /// Check all of them
        #[arg(long, conflicts_with = "name")]
        all: bool,
        /// In the lab: for what this host can't run (takes a minute)
        #[arg(long, conflicts_with = "all")]
        lab: bool,
    },
    /// A hint, and the next one each time you ask
    Hint { name: Option<String> },
    /// The solution, after a pass or when you ask twice
    Solution { name: Option<String> },
    /// Start an exercise again (your file is kept beside it)
    Reset { name: String },
    /// Put an exercise off, and go on to the next one
    Skip { name: Option<String> },
    /// In the playground: judge the program on stdin
    #[command(hide = true)]
    Judge { name: String },
    /// For a check: become PROGRAM under a seccomp profile
    #[command(hide = true)]
    Under { profile: PathBuf, program: PathBuf },
    /// For the tests: compile all programs of all exercises
    #[command(hide = true)]
    Compile { directory: PathBuf },
}

/// The status when the program itself fails, as with the steps.
const NO_VERDICT: u8 = 125;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        let status = if error.use_stderr() { NO_VERDICT } else { 0 };
        std::process::exit(status.into())
    });
    if cli.no_colour {
        colored::control::set_override(false);
    }
    run(cli.command).unwrap_or_else(|error| {
        let text = runtime::locale::shown(&format!("exercise: {error:#}"));
        let _ = writeln!(std::io::stderr(), "{text}");
        ExitCode::from(NO_VERDICT)
    })
}

fn run(command: Option<Command>) -> Result<ExitCode> {
    match command {
        Some(Command::Judge { name }) => {
            print!("{}", known(&name)?.judge()?.to_text());
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Under { profile, program }) => {
            match become_under(&profile, &program)? {}
        }
        Some(Command::Compile { directory }) => {
            program::compile_all(&directory)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let checkout = check::checkout()?;
    let mut mine = Mine::open(&checkout)?;
    match command {
        None => return watch::watch(&checkout, &mut mine),
        Some(Command::List) => screen::list(&mine),
        Some(Command::Task { name }) => {
            screen::task(chosen(&mine, name)?, &mine)
        }
        Some(Command::Check { all: true, .. }) => {
            return watch::check_all(&checkout, &mut mine);
        }
        Some(Command::Check { name, lab, .. }) => {
            let exercise = chosen(&mine, name)?;
            let place = if lab { Place::Lab } else { Place::Playground };
            return watch::check_once(&checkout, &mut mine, place, exercise);
        }
        Some(Command::Hint { name }) => {
            let exercise = chosen(&mine, name)?;
            watch::hint(&mut mine, exercise)?;
        }
        Some(Command::Solution { name }) => {
            let exercise = chosen(&mine, name)?;
            watch::solution(&mut mine, exercise)?;
        }
        Some(Command::Reset { name }) => {
            let exercise = known(&name)?;
            let kept = mine.reset(exercise)?;
            say(format_args!(
                "{} begins again. Your file is now {}",
                exercise.name,
                screen::shown(&kept)
            ));
        }
        Some(Command::Skip { name }) => {
            let exercise = chosen(&mine, name)?;
            watch::skip(&mut mine, exercise)?;
            if let Some(next) = mine.next() {
                say(format_args!("next: {}", next.name.bold()));
            }
        }
        Some(
            Command::Judge { .. }
            | Command::Under { .. }
            | Command::Compile { .. },
        ) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn known(name: &str) -> Result<&'static Exercise> {
    find(name).with_context(|| {
        format!("there is no exercise {name:?}. See: cargo exercise list")
    })
}

/// The one that was named, else the next one.
fn chosen(mine: &Mine, name: Option<String>) -> Result<&'static Exercise> {
    match name {
        Some(name) => known(&name),
        None => mine
            .next()
            .context("you have passed them all. Name one: cargo exercise list"),
    }
}
