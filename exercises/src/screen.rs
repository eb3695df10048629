//! What is shown: 80 columns, and no colour for whoever wants none.

use std::io::{self, Write};

use colored::Colorize;
use textwrap::Options;
use textwrap::WordSplitter::NoHyphenation;

use crate::judge::{Failure, Told, Verdict};
use crate::mine::{Mine, State};
use crate::{ALL, Exercise};

const WIDTH: usize = 78;

/// Prints a line or more. stdout may be closed: no reason to panic.
pub fn say(text: impl std::fmt::Display) {
    let text = runtime::locale::shown(&text.to_string());
    let _ = writeln!(io::stdout(), "{text}");
}

/// Where to go when this host can't run something.
fn instead(exercise: &Exercise) -> String {
    format!(
        "The lab, a Debian of its own in QEMU, has what it needs: cargo \
         exercise check {} --lab. Which step works here, and how to fix the \
         rest: ./scripts/doctor.sh",
        exercise.name
    )
}

/// A verdict, as lines.
pub fn verdict(exercise: &Exercise, told: &Told) {
    let name = exercise.name;
    match &told.verdict {
        Verdict::Pass(observed) => {
            say(format_args!("{} {name}", "PASS".green().bold()));
            part("observed", observed);
        }
        Verdict::Fail(Failure { observed, expected, hint }) => {
            say(format_args!("{} {name}", "FAIL".red().bold()));
            part("observed", observed);
            part("expected", expected);
            part("hint", hint);
        }
        Verdict::Skip(reason) => {
            say(format_args!("{} {name}", "SKIPPED".yellow().bold()));
            part("why", reason);
            part("instead", &instead(exercise));
        }
    }
    for cleaned in &told.cleaned {
        part("cleaned", cleaned);
    }
}

/// A word on the left, and what belongs to it beside it.
fn part(word: &str, text: &str) {
    let left = format!("{word:>9}  ");
    let indent = " ".repeat(left.len());
    let options = Options::new(WIDTH)
        .initial_indent(&indent)
        .subsequent_indent(&indent)
        .word_splitter(NoHyphenation);
    let mut lines = text.lines().flat_map(|line| {
        match line.starts_with("  | ") {
            // Somebody else's words stay as they are.
            true => vec![format!("{indent}{line}")],
            false => textwrap::wrap(line, &options)
                .into_iter()
                .map(|line| line.into_owned())
                .collect(),
        }
    });
    let first = lines.next().unwrap_or_default();
    let first = first.strip_prefix(&indent).unwrap_or(&first).to_owned();
    say(format_args!("{}{first}", left.dimmed()));
    for line in lines {
        say(line);
    }
}

/// The task: Markdown with links as words.
pub fn task(exercise: &Exercise, mine: &Mine) {
    say("");
    let mut in_code = false;
    for (number, line) in exercise.task.lines().enumerate() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if number == 0 {
            say(exercise.title().bold());
        } else if in_code {
            say(format!("    {line}").cyan());
        } else {
            let line = without_targets(line).replace("**", "");
            let indent = if line.starts_with("- ") { "  " } else { "" };
            let options = Options::new(WIDTH)
                .subsequent_indent(indent)
                .word_splitter(NoHyphenation);
            for line in textwrap::wrap(&line, &options) {
                say(line);
            }
        }
    }
    say("");
    say(format_args!("Edit {}", shown(&mine.file(exercise)).bold()));
}

/// As seen from where we are.
pub fn shown(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// `[text](target)` becomes `text`; a target in the repository stays, as a path
/// from its root.
fn without_targets(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link.split_once("](").and_then(|(words, after)| {
            let (target, after) = after.split_once(')')?;
            Some((words, target, after))
        });
        let Some((words, target, after)) = parts else { break };
        text += before;
        text += words;
        if let Some(path) = target.strip_prefix("../../../") {
            text += &format!(" ({path})");
        }
        rest = after;
    }
    text + rest
}

/// All exercises, with progress.
pub fn list(mine: &Mine) {
    for exercise in ALL {
        let (sign, name) = match mine.progress(exercise).state {
            State::Passed => ("✓".green(), exercise.name.green()),
            State::Skipped => ("-".yellow(), exercise.name.yellow()),
            State::Open => (" ".normal(), exercise.name.normal()),
        };
        let level = exercise.level().map_or("", |level| level.words());
        let minutes = exercise.minutes().unwrap_or(0);
        say(format_args!(
            "{} {sign} {name:16} {:36} {level:16} {minutes:3}'",
            &exercise.step[..2],
            exercise.title()
        ));
    }
    let count = |state| {
        ALL.iter().filter(|it| mine.progress(it).state == state).count()
    };
    let next = mine.next().map(|next| format!("; next: {}", next.name));
    say(format_args!(
        "{} of {} passed, {} skipped{}",
        count(State::Passed),
        ALL.len(),
        count(State::Skipped),
        next.unwrap_or_default()
    ));
}

/// A hint, numbered.
pub fn hint(exercise: &Exercise, number: usize) {
    let hint = exercise.hints[number];
    part(&format!("{} of {}", number + 1, exercise.hints.len()), hint);
}

#[cfg(test)]
mod tests {
    use super::without_targets;

    #[test]
    fn links_become_words() {
        let line = "See [chroot(2)](https://man7.org/x) and [step 01]\
                    (../../../steps/01-chroot/README.md), [not a link].";
        let words = "See chroot(2) and step 01 (steps/01-chroot/README.md), \
                     [not a link].";
        assert_eq!(without_targets(line), words);
    }
}
