//! What is no kernel feature: start a process, wait for it, report.

mod cache;
mod channel;
mod command;
mod container;
mod failure;
mod feature;
mod narration;
pub mod process;
mod rootfs;
mod signals;
mod supervise;
mod terminal;

use std::io::Write;

pub use cache::CachedDirectory;
pub use command::Variable;
pub use container::Container;
pub use failure::{
    Because, Failure, NOT_EXECUTABLE, NOT_FOUND, RUNTIME_FAILED,
};
pub use feature::{Feature, Host, Init, Inside};
pub use narration::{Narrator, Side, shell};
pub use rootfs::RootDirectory;
pub use signals::Signals;

/// Reads the command line. What can't be understood is told in one line, and
/// ends the program with status 125, as with docker.
#[must_use]
pub fn parse<Cli: clap::Parser>() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        let text = error.render().to_string();
        let told = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("Usage:"));
        let told: Vec<_> = told.filter(|line| !line.is_empty()).collect();
        let told = narration::one_line(told.join("; "));
        let told = told.strip_prefix("error: ").unwrap_or(&told);
        let told =
            told.trim_end_matches("; For more information, try '--help'.");
        let program = container::program();
        let _ = writeln!(
            std::io::stderr(),
            "{program}: {told} (see {program} --help)"
        );
        std::process::exit(RUNTIME_FAILED.into())
    })
}
