//! A line for each claim that was judged, for the matrix of all environments.

use std::fs::OpenOptions;
use std::io::Write;

/// Appends to the file that `TEST_RECORD` names, if it names one: environment,
/// test binary, claim, result and reason, separated by tabs.
pub fn append(claim: &str, result: &str, reason: &str) {
    let Some(file) = std::env::var_os("TEST_RECORD") else {
        return;
    };
    let environment = std::env::var("TEST_ENVIRONMENT").unwrap_or_default();
    let exe = std::env::current_exe().unwrap_or_default();
    let binary =
        exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // cargo adds a hash to the name: `matrix-0f3a…`.
    let binary =
        binary.rsplit_once('-').map_or(binary.as_str(), |(name, _)| name);
    let reason = reason.split(char::is_control).collect::<Vec<_>>().join(" ");
    let line =
        format!("{environment}\t{binary}\t{claim}\t{result}\t{reason}\n");
    let file = OpenOptions::new().append(true).create(true).open(file);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("write TEST_RECORD");
}
