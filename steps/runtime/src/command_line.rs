//! The command line: read, or told in one line what is wrong with it.

use std::io::Write;

use clap::error::ErrorKind;

use crate::container::program;
use crate::failure::RUNTIME_FAILED;
use crate::quote::one_line;

/// Reads the command line. What can't be understood is told in one line, and
/// ends the program with status 125, as with docker.
#[must_use]
pub fn parse<Cli: clap::Parser>() -> Cli {
    let program = program();
    let command = Cli::command().after_help(format!(
        "Options come before COMMAND: whatever follows it belongs to it.\n\
         The lesson: steps/{program}/README.md"
    ));
    let parsed = command.try_get_matches();
    let parsed = parsed.and_then(|found| Cli::from_arg_matches(&found));
    parsed.unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        let text = error.render().to_string();
        let told = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("Usage:"));
        let told: Vec<_> = told.filter(|line| !line.is_empty()).collect();
        let told = one_line(told.join("; "));
        let told = told.strip_prefix("error: ").unwrap_or(&told);
        let told =
            told.trim_end_matches("; For more information, try '--help'.");
        let told = match error.kind() {
            ErrorKind::UnknownArgument => {
                format!("{told}; another step might have that option")
            }
            _ => told.to_owned(),
        };
        let _ = writeln!(
            std::io::stderr(),
            "{program}: {told} (see {program} --help)"
        );
        std::process::exit(RUNTIME_FAILED.into())
    })
}
