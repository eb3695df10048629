//! Two casts show the same if a terminal has the same text after each, but for
//! what the kernel, the clock and the machine choose anew each time.

use anyhow::Result;
use regex_lite::{Captures, Regex};
use similar::{Algorithm, capture_diff_slices, group_diff_ops};

use crate::cast::Cast;

/// What differs without anybody having changed anything, and what stands for
/// it in a comparison. In this order.
const CHOSEN_ANEW: &[(&str, &str)] = &[
    // What hardware and load make of it: addresses of bridges, work that was
    // done, a priority (the N of ps) that somebody gave to all of this.
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"\b\d+ loops, \d+ %", "N loops, N %"),
    (r"\bZN?\+ +", "Z+ "),
    // Names that mktemp and a hash of the recipe make up.
    (r"\bdemo\.\w{4}\b", "demo.NAME"),
    (r"\b(root[-\d]*)\.[0-9a-f]{8}\b", "$1.HASH"),
    // Time.
    (r"\b[A-Z][a-z]{2} [ \d]\d \d\d:\d\d\b", "DATE"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    // How many processes are in a namespace: they come and go.
    (r"^(INODE-\d+) (\w+) +\d+$", "$2 $1 COUNT"),
    // Ids of users, which /etc/subuid lends.
    (r" *\b(\d{6,}|65536|131072)\b", " IDS"),
    // Pids: in a table, after a word, in a name, in a call. Those below 10 are
    // inside, and mean something.
    (r"^( *IDS)? +\d{2,}( +\d{2,})? ", "PID "),
    (r"\b(process|I am|pid:|netns) +\d{2,}\b", "$1 PID"),
    (r"\bNSpid: +\d{2,} +", "NSpid: PID "),
    (r"(container-|workshop-|/proc/|kill\()\d+\b", "${1}PID"),
    (r#"(cgroup.procs", ")\d+"#, "${1}PID"),
    // A container's address: the last one's may still be taken. 1 is the bridge.
    (r"\b(10\.77\.0\.|fe80::77:aff:fe4d:)(?:[2-9a-f]|[0-9a-f]{2,})\b", "${1}N"),
    // Mounts, devices, keys.
    (r"^\d+ \d+ \d+:\d+ ", "MOUNT "),
    (r"\bshared:\d+", "shared:GROUP"),
    (r"@if\d+ +", "@LINK "),
    (r"\b0x[0-9a-f]{8}\b", "KEY"),
    (r"^\d+:(\S*:/)", "NUMBER:$1"),
    // How much there is on this machine, and was used: lines that a file has,
    // the bars of watch-cgroup.
    (r"^[1-9]\d*$", "COUNT"),
    (r"[█▉▊▋▌▍▎▏░]+ +\d+% [\d.]+(\w*) of [\d.]+", "BAR of LIMIT"),
    (r"^ +[▁▂▃▄▅▆▇█]+ ", "HISTORY"),
    (r"\bthrottled: \d+ of \d+", "throttled: N of N"),
    // Whose host it is.
    (r"\bPRETTY_NAME=.*", "SYSTEM"),
];

/// The lines that differ, as they are shown; empty if none.
pub fn differences(old: &Cast, new: &Cast) -> Result<String> {
    let (old, old_shown) =
        normalised(old)?.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
    let (new, new_shown) =
        normalised(new)?.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
    let changes = capture_diff_slices(Algorithm::Myers, &old, &new);
    let mut text = String::new();
    for group in group_diff_ops(changes, 2) {
        let changes =
            group.iter().flat_map(|op| op.iter_changes(&old_shown, &new_shown));
        for change in changes {
            text += &format!("{}{}\n", change.tag(), change.value());
        }
        text.push('\n');
    }
    Ok(text)
}

/// All lines that a cast shows: without what is chosen anew each time, and as
/// they are.
pub fn normalised(cast: &Cast) -> Result<Vec<(String, String)>> {
    let rules = CHOSEN_ANEW
        .iter()
        .map(|(pattern, by)| Ok((Regex::new(pattern)?, *by)))
        .collect::<Result<Vec<_>>>()?;
    let mut inodes = Vec::new();
    let normalise = |shown: String| {
        let line = number_inodes(&shown, &mut inodes);
        let line = rules.iter().fold(line, |line, (pattern, by)| {
            pattern.replace_all(&line, *by).into_owned()
        });
        (line, shown)
    };
    let mut lines: Vec<_> = cast.lines().into_iter().map(normalise).collect();
    // lsns(8) sorts by what is chosen anew.
    let of_lsns = |line: &(String, _)| line.0.ends_with(" COUNT");
    for rows in lines.chunk_by_mut(|a, b| of_lsns(a) && of_lsns(b)) {
        rows.sort();
    }
    Ok(lines)
}

/// The inode of a namespace is chosen anew, and what shares one is not: the
/// first one seen becomes 1.
fn number_inodes(line: &str, seen: &mut Vec<String>) -> String {
    let inode = Regex::new(r"\b40265\d{5}\b").expect("it is one");
    let number = |found: &Captures| {
        let known = seen.iter().position(|inode| *inode == found[0]);
        let index = known.unwrap_or_else(|| {
            seen.push(found[0].to_owned());
            seen.len() - 1
        });
        format!("INODE-{}", index + 1)
    };
    inode.replace_all(line, number).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(shown: &str) -> Cast {
        let shown = shown.replace('\n', "\r\n");
        Cast::of_demo(&format!("{shown}\x1b]7777;wait;1\x07")).unwrap()
    }

    fn differ(old: &str, new: &str) -> String {
        differences(&cast(old), &cast(new)).unwrap()
    }

    #[test]
    fn what_is_chosen_anew_is_the_same() {
        for (old, new) in [
            (
                "    135      70 root     sleep",
                "     48      20 root     sleep",
            ),
            (
                "kill-host: process 52 is killed",
                "kill-host: process 215 is killed",
            ),
            ("NSpid: 172     1", "NSpid: 1172    1"),
            ("peer eth0 netns 230", "peer eth0 netns 1221"),
            ("4026532327      8     1 sleep", "4026531999      8     1 sleep"),
            ("-rw 1 root 0 Nov 23 06:35 a", "-rw 1 root 0 Dec  1 23:59 a"),
            ("/tmp/demo.EIpf/two", "/tmp/demo.x0_9/two"),
            ("root.7b4fc41b/proc", "root.80060308/proc"),
            ("root-1-2.7b4fc41b", "root-1-2.80060308"),
            ("281 164 0:158 / /proc", "96 80 0:70 / /proc"),
            ("UP d2:a9:71:d2:b4:f1", "UP 26:79:46:19:1f:ec"),
            ("   191 Z+   [attack]", "   188 ZN+  [attack]"),
            ("40 loops, 50 % of", "38306019 loops, 49 % of"),
            ("cpu ░░░ 0% 0.01 of 2.00", "cpu █░░ 31% 0.62 of 8.00"),
        ] {
            assert_eq!(differ(old, new), "", "{old} | {new}");
        }
    }

    #[test]
    fn what_means_something_differs() {
        for (old, new) in [
            ("WORKED: it is killed", "STOPPED: it is killed"),
            ("(exit status 1)", "(exit status 127)"),
            ("    1 root     sleep", "    2 root     sleep"),
            ("I am PID 1", "I am PID 17"),
            ("EAGAIN after 19 processes", "EAGAIN after 20 processes"),
            ("uts:[4026532327] [4026532327]", "uts:[4026532327] [4026532328]"),
            ("10.77.0.2/24", "10.78.0.2/24"),
            ("a\nb", "a\nb\nc"),
            // One of them is cleared away.
            ("a\x1b[H\x1b[2Jb", "c\x1b[H\x1b[2Jb"),
        ] {
            assert_ne!(differ(old, new), "", "{old} | {new}");
        }
    }

    #[test]
    fn the_order_of_inodes_does_not_count() {
        let old = "u:[4026532327]\n4026532327 uts  7\n4026532329 net  1";
        let new = "u:[4026532999]\n4026532329 net  2\n4026532999 uts  6";
        assert_eq!(differ(old, new), "");
    }

    #[test]
    fn colours_and_the_way_it_was_printed_do_not_count() {
        assert_eq!(differ("\x1b[1mhell\x1b[0mo", "hello"), "");
        assert_eq!(differ("hello", "heyyo\r\x1b[2Cll"), "");
    }

    #[test]
    fn differences_are_told_with_their_neighbours_as_they_are_shown() {
        let old = "one\nprocess 52 WORKED\nthree";
        let new = "one\nprocess 53 STOPPED\nthree";
        let told = " one\n-process 52 WORKED\n+process 53 STOPPED\n three\n";
        assert!(differ(old, new).starts_with(told));
    }
}
