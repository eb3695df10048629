//! Two casts show the same if a terminal has the same text after each, but for
//! what the kernel, the clock and the machine choose anew each time.

use anyhow::Result;
use regex_lite::Regex;
use similar::{Algorithm, capture_diff_slices, group_diff_ops};

use crate::cast::Cast;

/// What differs without anybody having changed anything, and what stands for
/// it in a comparison. In this order.
const CHOSEN_ANEW: &[(&str, &str)] = &[
    // Time.
    (r"\b[A-Z][a-z]{2} [ \d]\d \d\d:\d\d\b", "DATE"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    // Namespaces, and how many processes are in one: what runs in the
    // playground comes and goes.
    (r"\b40265\d{5}( \w+)? +\d+$", "INODE$1 COUNT"),
    (r"\b40265\d{5}\b", "INODE"),
    // Ids of users, which /etc/subuid lends.
    (r" *\b(\d{6,}|65536|131072)\b", " IDS"),
    // Pids: in a table, after a word, in a name, in a call. Those below 10 are
    // inside, and mean something.
    (r"^( *IDS|INODE)? +\d{2,}( +\d{2,})? ", "PID "),
    (r"\b(process|I am|NSpid:|pid:) +\d{2,}\b", "$1 PID"),
    (r"(container-|workshop-|/proc/|kill\()\d+\b", "${1}PID"),
    (r#"(cgroup.procs", ")\d+"#, "${1}PID"),
    // Names that mktemp and a hash of the recipe make up.
    (r"\bdemo\.\w{4}\b", "demo.NAME"),
    (r"\b(root[-\w ]*)\.[0-9a-f]{8}\b", "$1.HASH"),
    // Mounts, devices, keys.
    (r"^\d+ \d+ \d+:\d+ ", "MOUNT "),
    (r"\bshared:\d+", "shared:GROUP"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"@if\d+ +", "@LINK "),
    (r"\b0x[0-9a-f]{8}\b", "KEY"),
    (r"\brules=[0-9a-f]{16}\b", "rules=HASH"),
    (r"^\d+:(\S*:/)", "NUMBER:$1"),
    // How much there is on this machine, and was used: lines that a file has,
    // the bars of watch-cgroup.
    (r"^[1-9]\d*$", "COUNT"),
    (r"\d+ loops, \d+ %", "N loops, N %"),
    (r"[█▉▊▋▌▍▎▏░]+ +\d+% [\d.]+(\w*) of [\d.]+", "BAR of LIMIT"),
    (r"^ +[▁▂▃▄▅▆▇█]+ ", "HISTORY"),
    (r"\bthrottled: \d+ of \d+", "throttled: N of N"),
    // Whose host it is.
    (r"\bPRETTY_NAME=.*", "SYSTEM"),
];

/// The lines that differ, as they are shown; empty if none.
pub fn differences(old: &Cast, new: &Cast) -> Result<String> {
    let shown = (lines(old)?, lines(new)?);
    let changes = capture_diff_slices(
        Algorithm::Myers,
        &normalised(old)?,
        &normalised(new)?,
    );
    let mut text = String::new();
    for group in group_diff_ops(changes, 2) {
        let changes =
            group.iter().flat_map(|op| op.iter_changes(&shown.0, &shown.1));
        for change in changes {
            text += &format!("{}{}\n", change.tag(), change.value());
        }
        text.push('\n');
    }
    Ok(text)
}

/// All lines that a cast shows, without what is chosen anew each time.
pub fn normalised(cast: &Cast) -> Result<Vec<String>> {
    let rules = CHOSEN_ANEW
        .iter()
        .map(|(pattern, by)| Ok((Regex::new(pattern)?, *by)))
        .collect::<Result<Vec<_>>>()?;
    let normalise = |line: String| {
        rules.iter().fold(line, |line, (pattern, by)| {
            pattern.replace_all(&line, *by).into_owned()
        })
    };
    Ok(lines(cast)?.into_iter().map(normalise).collect())
}

/// All lines that a cast shows. One that the terminal has wrapped is one line.
fn lines(cast: &Cast) -> Result<Vec<String>> {
    let terminal = cast.terminal()?;
    let mut lines = vec![String::new()];
    for row in terminal.screen().all_lines() {
        let line = lines.last_mut().expect("never empty");
        line.push_str(&row.text());
        if !row.is_wrapped() {
            line.truncate(line.trim_end().len());
            lines.push(String::new());
        }
    }
    Ok(lines)
}
