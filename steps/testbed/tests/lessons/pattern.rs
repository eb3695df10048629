//! Whether an output is the one that a page shows.
//!
//! `[..]` stands for any text within a line, and a line `...` for any lines, as
//! in trycmd. What differs from run to run, the page shows as it once was: the
//! number of a namespace, the pid in a path, the hash in a name. Such a word
//! may be another one, but always the same for the same: two processes that
//! share a namespace on the page share one in truth.

use std::collections::BTreeMap;

use regex_lite::{Regex, escape};

/// What differs from run to run.
const VARIABLE: [&str; 4] = [
    // a namespace
    r"\b402653\d{4}\b",
    // a process
    r"(?:/proc/|\bprocess )\d\d+\b",
    // a cgroup, named after the runtime that made it
    r"\bcontainer-\d\d+\b",
    // a directory of the cache
    r"\b(?:root|layer)(?:-\d+)*[.-][0-9a-f]{8}\b",
];

/// Which word of the page stands for which of today, and the other way round.
#[derive(Default, Clone)]
pub struct Bindings(BTreeMap<String, String>, BTreeMap<String, String>);

impl Bindings {
    fn bind(&mut self, page: &str, today: &str) -> bool {
        let there = self.0.entry(page.into()).or_insert(today.into()) == today;
        let back = self.1.entry(today.into()).or_insert(page.into()) == page;
        there && back
    }
}

/// Whether it is; then `bound` knows what the words of the page stand for.
pub fn matches(expected: &str, actual: &str, bound: &mut Bindings) -> bool {
    let (expected, actual): (Vec<_>, Vec<_>) =
        (expected.lines().collect(), actual.lines().collect());
    let end = lines_match(&expected, &actual, bound.clone());
    end.map(|end| *bound = end).is_some()
}

fn lines_match(
    expected: &[&str],
    actual: &[&str],
    mut bound: Bindings,
) -> Option<Bindings> {
    match (expected, actual) {
        ([], []) => Some(bound),
        (["...", rest @ ..], _) => (0..=actual.len()).find_map(|skipped| {
            lines_match(rest, &actual[skipped..], bound.clone())
        }),
        ([line, expected @ ..], [said, actual @ ..]) => {
            line_matches(line, said, &mut bound)
                .then(|| lines_match(expected, actual, bound))?
        }
        _ => None,
    }
}

fn line_matches(expected: &str, actual: &str, bound: &mut Bindings) -> bool {
    let variable = Regex::new(&VARIABLE.map(|v| format!("({v})")).join("|"))
        .expect("a regex");
    let mut regex = String::from("^");
    let mut words = Vec::new();
    for (at, literal) in expected.trim().split("[..]").enumerate() {
        regex += if at > 0 { ".*" } else { "" };
        let mut rest = literal;
        while let Some(found) = variable.captures(rest) {
            let kind = (1..=VARIABLE.len()).find(|&n| found.get(n).is_some());
            let word = found.get(0).expect("the whole");
            regex += &format!(
                "{}({})",
                spaced(&rest[..word.start()]),
                VARIABLE[kind.expect("one of them") - 1]
            );
            words.push(word.as_str());
            rest = &rest[word.end()..];
        }
        regex += &spaced(rest);
    }
    let regex = Regex::new(&format!("{regex}$")).expect("a regex");
    let Some(found) = regex.captures(actual.trim()) else {
        return false;
    };
    let today =
        found.iter().skip(1).map(|word| word.expect("all of them").as_str());
    words.into_iter().zip(today).all(|(page, today)| bound.bind(page, today))
}

/// Columns are as wide as what is in them.
fn spaced(literal: &str) -> String {
    let mut regex = String::new();
    for part in literal.split_inclusive(' ') {
        match part.strip_suffix(' ') {
            Some(word) if word.is_empty() && regex.ends_with(" +") => {}
            Some(word) => regex += &format!("{} +", escape(word)),
            None => regex += &escape(part),
        }
    }
    regex
}
