//! Namespaces below ours, seen from here: there is no list of them, but each
//! process tells its number in every one in which it has one
//! (proc_pid_status(5), `NSpid`).

use std::ffi::OsStr;
use std::fs;
use std::io;

use runtime::other_process::status;

/// Each PID 1 of a namespace directly below ours, by its number here.
///
/// # Errors
/// As readdir(2).
pub fn firsts() -> io::Result<Vec<i32>> {
    let depth = numbers("self".as_ref()).len();
    let first = |name: &OsStr| {
        let numbers = numbers(name);
        let is_first = numbers.len() == depth + 1 && numbers[depth] == 1;
        is_first.then(|| numbers[0])
    };
    let all = fs::read_dir("/proc")?.flatten();
    Ok(all.filter_map(|entry| first(&entry.file_name())).collect())
}

/// From our own namespace inwards.
fn numbers(pid: &OsStr) -> Vec<i32> {
    let numbers = status(pid.to_string_lossy(), "NSpid").unwrap_or_default();
    numbers.split_whitespace().flat_map(str::parse).collect()
}
