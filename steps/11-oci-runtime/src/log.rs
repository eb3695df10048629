//! What went wrong, for an engine: it reads the last line of its log file.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Error, Result};
use nix::fcntl::OFlag;
use runtime::{Failure, NOT_EXECUTABLE, NOT_FOUND, told};
use serde_json::json;

use crate::command_line::Cli;

/// Tells an error, to a person and in the log. Returns the exit status.
pub fn failed(cli: &Cli, error: &Error) -> u8 {
    let status = error.downcast_ref::<Failure>().map_or(1, Failure::status);
    // By these words docker knows its own exit statuses.
    let known = match status {
        NOT_FOUND => ": executable file not found in $PATH",
        NOT_EXECUTABLE => ": permission denied",
        _ => "",
    };
    let told = short(&told(error)) + known;
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
    let log = append_to(file, OFlag::empty());
    // Whoever can't read it has the same on stderr.
    let _ = log.and_then(|mut log| writeln!(log, "{line}"));
}

/// A config.json may have names of any length. An error has its beginning, and
/// its end, where the kernel's answer is.
fn short(text: &str) -> String {
    const PART: usize = 1000;
    let count = text.chars().count();
    if count <= 2 * PART {
        return text.to_owned();
    }
    let from: String = text.chars().take(PART).collect();
    let to: String = text.chars().skip(count - PART).collect();
    format!("{from} … {to}")
}

/// Where the calls of the other steps are told: `WORKSHOP_NARRATE=FILE`.
///
/// # Errors
/// As open(2).
pub fn story() -> Result<Option<File>> {
    let file = std::env::var_os("WORKSHOP_NARRATE");
    let Some(file) = file.filter(|it| !it.is_empty()) else { return Ok(None) };
    // Root's words go where root has said, and nowhere else.
    let story = append_to(Path::new(&file), OFlag::O_NOFOLLOW);
    story.map(Some).with_context(|| format!("WORKSHOP_NARRATE={file:?}"))
}

/// Nobody has to read it: a pipe without a reader, or a terminal that stands
/// still, keeps no container waiting.
fn append_to(file: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = File::options();
    options.append(true).create(true).custom_flags(flags.bits()).open(file)
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
