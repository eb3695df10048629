//! What went wrong, for an engine: it reads the last line of its log file.

use std::fs::File;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Error;
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
    let since =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let nanos = since.subsec_nanos();
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
    )
}

/// Of days since 1970. A year begins in March here: its leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year =
        (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) =
        if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_date() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_786), (2026, 11, 29));
    }
}
