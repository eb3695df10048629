//! What went wrong, for an engine: it reads the last line of its log file.

use std::fs::File;
use std::io::Write;
use std::time::SystemTime;

use anyhow::Error;
use humantime::format_rfc3339_nanos;
use runtime::{Failure, NOT_EXECUTABLE, NOT_FOUND, told};
use serde_json::json;

use crate::command_line::Cli;

/// Tells an error, to a person and in the log. Returns the exit status.
pub fn failed(cli: &Cli, error: &Error) -> u8 {
    let status = error.downcast_ref::<Failure>().map_or(1, Failure::status);
    // By these words docker knows its own exit statuses.
    let told = match status {
        NOT_FOUND => {
            format!("{}: executable file not found in $PATH", told(error))
        }
        NOT_EXECUTABLE => format!("{}: permission denied", told(error)),
        _ => told(error),
    };
    write(cli, "error", &told);
    let _ = writeln!(std::io::stderr(), "11-oci-runtime: {told}");
    match status {
        NOT_FOUND | NOT_EXECUTABLE => status,
        _ => 1,
    }
}

/// One line of the log, if there is one.
pub fn write(cli: &Cli, level: &str, text: &str) {
    let Some(file) = &cli.log else { return };
    let time = now();
    let line = match cli.log_format.as_str() {
        "json" => {
            json!({ "level": level, "msg": text, "time": time }).to_string()
        }
        _ => format!("time={time:?} level={level} msg={text:?}"),
    };
    let log = File::options().append(true).create(true).open(file);
    // Whoever can't read it has the same on stderr.
    let _ = log.and_then(|mut log| writeln!(log, "{line}"));
}

/// As in RFC 3339.
#[must_use]
pub fn now() -> String {
    format_rfc3339_nanos(SystemTime::now()).to_string()
}
