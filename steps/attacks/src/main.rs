#![forbid(unsafe_code)]
//! `attack NAME [ARG…]`: tries one way out of a container.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread::sleep;

use attacks::{ALL, Attack, Outcome, find};
use clap::builder::styling::{AnsiColor, Style};
use clap::{Arg, ArgMatches, Command};

/// The status when the program itself fails, as with the steps.
const FAILED: u8 = 125;

const ABOUT: &str = "Tries one way out of a container, and says how it went.

Exit status: 0 it worked, or did its part (DONE: look outside); 1 it was \
stopped; 3 it can't be tried here; 125 this program failed.";

fn main() -> ExitCode {
    ExitCode::from(match command_line().try_get_matches() {
        Ok(matches) => match matches.subcommand() {
            Some(("list", _)) => list(),
            Some((name, given)) => {
                find(name).map_or(FAILED, |attack| run(attack, given))
            }
            None => FAILED,
        },
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { FAILED } else { 0 }
        }
    })
}

fn command_line() -> Command {
    let list = Command::new("list").about("List all attacks");
    let attacks = ALL.iter().map(|attack| {
        let argument = |argument: &attacks::Argument| {
            let help = match argument.default {
                Some("") | None => argument.help.to_owned(),
                Some(default) => {
                    format!("{} [default: {default}]", argument.help)
                }
            };
            Arg::new(argument.name)
                .help(help)
                .allow_hyphen_values(true)
                .required(false)
        };
        Command::new(attack.name)
            .about(format!("{} ({})", attack.tries, attack.stopped))
            .after_help(format!(
                "Stopped by: {}\nThe rule: {}\nSource: {}{}",
                attack.stopped,
                attack.rule,
                attack.source,
                again_in_10(attack)
            ))
            .args(attack.arguments.iter().map(argument))
    });
    Command::new("attack")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand_value_name("NAME")
        .subcommand_help_heading("Attacks, and what stops them")
        .subcommand(list)
        .subcommands(attacks)
}

fn again_in_10(attack: &Attack) -> String {
    let wall = attack.again_in_10();
    wall.map_or_else(String::new, |wall| {
        format!("\nStep 10 lets it through again. Which wall holds? {wall}")
    })
}

/// One line for each attack: its name, what stops it, what it tries.
fn list() -> u8 {
    let mut stdout = io::stdout().lock();
    for Attack { name, stopped, tries, .. } in ALL {
        let line = writeln!(stdout, "{name:19} {stopped:20} {tries}");
        if line.is_err() {
            break;
        }
    }
    0
}

fn run(attack: &Attack, given: &ArgMatches) -> u8 {
    let typed = attack
        .arguments
        .iter()
        .map_while(|argument| given.get_one::<String>(argument.name).cloned());
    // A child that an attack started has nothing to say.
    let is_ours_to_tell = attacks::role().is_none();
    if is_ours_to_tell {
        say(format_args!("{}: {}", attack.name, attack.tries));
    }
    let typed: Vec<_> = typed.collect();
    match attack.run(typed.clone()).and_then(|outcome| {
        if is_ours_to_tell {
            tell(attack, &outcome);
        }
        sleep(attack.stay(typed)?);
        Ok(outcome.status())
    }) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "attack {}: {error:#}", attack.name);
            FAILED
        }
    }
}

/// The verdict. Its word says it all: the colour only helps the back row.
fn tell(attack: &Attack, outcome: &Outcome) {
    let colour = match outcome {
        Outcome::Worked(_) => AnsiColor::Red,
        Outcome::Stopped(_) => AnsiColor::Green,
        Outcome::Done(_) | Outcome::CannotTry(_) => AnsiColor::Yellow,
    };
    let no_colour =
        std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = match io::stdout().is_terminal() && !no_colour {
        true => Style::new().bold().fg_color(Some(colour.into())),
        false => Style::new(),
    };
    let (word, text) = (outcome.word(), outcome.text());
    match outcome {
        Outcome::Stopped(_) => say(format_args!(
            "{style}{word}{style:#}: {text} ({}: {})",
            attack.stopped, attack.rule
        )),
        _ => say(format_args!("{style}{word}{style:#}: {text}")),
    }
}

/// stdout may be closed, or a terminal that is gone: no reason to panic.
fn say(text: std::fmt::Arguments) {
    let _ = writeln!(io::stdout(), "{text}");
}
