//! How what is told fits a terminal: nothing is longer than it is wide, and
//! what does not fit goes on below, never inside a word, a path or a quoted
//! string, unless that alone is longer than the line.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use colored::{ColoredString, Colorize};
use rustix::termios::tcgetwinsize;
use textwrap::core::{Fragment, Word, break_words, display_width};
use textwrap::wrap_algorithms::wrap_first_fit;

use crate::quote::Quoting;

/// Where no terminal says how wide it is: a file or a pipe.
const OF_A_FILE: usize = 100;
/// A terminal that does not know its own width, such as a serial line.
const OF_A_SERIAL_LINE: usize = 80;
const NARROWEST: usize = 20;
/// From here on there is room for columns.
const WIDE: usize = 160;
const COLUMN: usize = 48;
/// The side, and the gap behind it.
pub const INDENT: usize = 8;

/// The columns of a terminal, or of what stands in for one.
pub fn width_of(output: &impl AsFd) -> usize {
    let output = output.as_fd();
    match tcgetwinsize(output) {
        _ if !output.is_terminal() => OF_A_FILE,
        Ok(size) if size.ws_col > 0 => NARROWEST.max(size.ws_col.into()),
        _ => OF_A_SERIAL_LINE,
    }
}

/// Part of what is told.
pub struct Part<'a> {
    /// Tells it apart without colour.
    pub mark: &'a str,
    pub text: &'a str,
    pub kind: Kind,
}

/// What a part is, which says how it looks and where it may be cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Call,
    Reason,
    Shell,
    Note,
    Error,
    Count,
}

impl Kind {
    fn paint(self, text: &str) -> ColoredString {
        match self {
            Kind::Call => text.bold(),
            Kind::Reason | Kind::Count => text.dimmed(),
            Kind::Shell => text.cyan(),
            Kind::Note => text.yellow(),
            Kind::Error => text.red(),
        }
    }

    /// What keeps its words together: an apostrophe in prose is no quote.
    fn quotes(self) -> &'static [char] {
        match self {
            Kind::Call | Kind::Count => &['"'],
            Kind::Shell => &['"', '\''],
            Kind::Reason | Kind::Note | Kind::Error => &[],
        }
    }

    /// The lines of a text, the first of them as wide as the others.
    fn lines(self, text: &str, width: usize) -> Vec<String> {
        // A shell reads on where a line ends like this.
        let end = if self == Kind::Shell { " \\" } else { "" };
        let width = width.saturating_sub(end.len()).max(1);
        let words = words(text, self.quotes()).into_iter().flat_map(|word| {
            match word.width() > width as f64 {
                true => words_of(word, width),
                false => vec![word],
            }
        });
        let words: Vec<_> = words.collect();
        let lines = wrap_first_fit(&words, &[width as f64]);
        let count = lines.len();
        let line = |(number, words): (usize, &[Word])| {
            let spaced = words.iter().flat_map(|it| [it.word, it.whitespace]);
            let line: String = spaced.collect();
            let end = if number + 1 < count { end } else { "" };
            line.trim_end_matches(' ').to_owned() + end
        };
        lines.into_iter().enumerate().map(line).collect()
    }
}

/// Lays parts out behind the side on which they happen, if there is one: each in
/// the line of the one before it if it fits there as a whole, else in lines of
/// its own.
pub fn block(heading: ColoredString, parts: &[Part], width: usize) -> String {
    let indent = if heading.is_empty() { 0 } else { INDENT };
    let mut text = format!("{heading}{}", gap(heading.len(), indent));
    let mut column = indent;
    for (number, Part { mark, text: part, kind }) in parts.iter().enumerate() {
        let mark_width = display_width(mark);
        let needs = mark_width + display_width(part);
        let next = next_column(column, width);
        if number > 0 && next + needs > width {
            text += &format!("\n{}", gap(0, indent));
            column = indent;
        } else if number > 0 {
            text += &gap(column, next);
            column = next;
        }
        // Below a call stands what is not it: so its own lines are indented.
        let hang = match number {
            0 => indent + 2,
            _ => column + mark_width,
        };
        let room = width.saturating_sub(column + mark_width);
        let lines = match column + needs <= width {
            true => vec![(*part).to_owned()],
            false if number == 0 => kind.lines(part, room.saturating_sub(2)),
            false => kind.lines(part, room),
        };
        text += &kind.paint(mark).to_string();
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                text += &format!("\n{}", gap(0, hang));
                column = hang;
            } else {
                column += mark_width;
            }
            text += &kind.paint(line).to_string();
            column += display_width(line);
        }
    }
    text + "\n"
}

fn next_column(column: usize, width: usize) -> usize {
    match width >= WIDE {
        true => {
            (column + 2).saturating_sub(INDENT).div_ceil(COLUMN) * COLUMN
                + INDENT
        }
        false => column + 2,
    }
}

fn gap(from: usize, to: usize) -> String {
    " ".repeat(to.saturating_sub(from))
}

/// What is not cut: words, and what stands in quotes.
fn words<'a>(line: &'a str, quotes: &[char]) -> Vec<Word<'a>> {
    let (mut quoting, mut before, mut start) = (Quoting::default(), ' ', 0);
    let mut found = vec![];
    for (at, c) in line.char_indices() {
        if before == ' ' && c != ' ' && !quoting.is_inside() && at > start {
            found.push(Word::from(&line[start..at]));
            start = at;
        }
        quoting.read(c, quotes);
        before = c;
    }
    found.push(Word::from(&line[start..]));
    found
}

/// What is longer than a line is cut all the same: between the words that are
/// quoted, and within one of them if need be.
fn words_of(quoted: Word<'_>, width: usize) -> Vec<Word<'_>> {
    let mut cut = break_words(words(quoted.word, &[]), width);
    if let Some(last) = cut.last_mut() {
        last.whitespace = quoted.whitespace;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(width: usize) -> String {
        colored::control::set_override(false);
        let parts = [
            Part {
                mark: "",
                text: "mount(\"a b\", \"/some/where\", MS_NOSUID | MS_NODEV)",
                kind: Kind::Call,
            },
            Part {
                mark: "– ",
                text: "the host's files stay the host's",
                kind: Kind::Reason,
            },
            Part {
                mark: "≙ ",
                text: "mount -o nosuid,nodev 'a b' /some/where",
                kind: Kind::Shell,
            },
        ];
        block("inside".normal(), &parts, width)
    }

    #[test]
    fn each_part_goes_on_under_its_own_column() {
        assert_eq!(
            told(40),
            "inside  mount(\"a b\", \"/some/where\",\n          \
             MS_NOSUID | MS_NODEV)\n        \
             – the host's files stay the\n          host's\n        \
             ≙ mount -o nosuid,nodev 'a b' \\\n          /some/where\n"
        );
        assert_eq!(told(500).lines().count(), 1, "{}", told(500));
    }

    #[test]
    fn nothing_is_longer_than_the_line() {
        for width in NARROWEST..200 {
            for line in told(width).lines() {
                assert!(display_width(line) <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn what_is_quoted_is_not_cut() {
        for width in 32..200 {
            let told = told(width);
            for whole in ["\"a b\"", "'a b'", "/some/where", "nosuid,nodev"] {
                let found = told.lines().any(|line| line.contains(whole));
                assert!(found, "{width}, {whole}: {told}");
            }
        }
    }
}
