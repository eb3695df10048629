//! How what is told fits a terminal: nothing is longer than it is wide, and
//! what does not fit goes on below, never inside a word, a path or a quoted
//! string, unless that alone is longer than the line.

use std::fs::File;
use std::io::IsTerminal;

use colored::{ColoredString, Colorize};
use rustix::termios::tcgetwinsize;
use textwrap::core::{Word, display_width};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, wrap};

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
pub fn width_of(output: &File) -> usize {
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
            Kind::Error => text.red().bold(),
        }
    }

    fn separator(self) -> WordSeparator {
        WordSeparator::Custom(match self {
            Kind::Call | Kind::Count => |line| words(line, &['"']),
            Kind::Shell => |line| words(line, &['"', '\'']),
            // An apostrophe is no quote there.
            Kind::Reason | Kind::Note | Kind::Error => |line| words(line, &[]),
        })
    }

    /// The lines of a text, the first of them as wide as the others.
    fn lines(self, text: &str, width: usize) -> Vec<String> {
        let whole = display_width(text) <= width;
        // A shell reads on where a line ends like this.
        let end = if self == Kind::Shell && !whole { " \\" } else { "" };
        let options = Options::new(width.saturating_sub(end.len()).max(1))
            .word_separator(self.separator())
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        let mut lines: Vec<_> =
            wrap(text, options).into_iter().map(String::from).collect();
        let all_but_the_last = lines.len().saturating_sub(1);
        lines[..all_but_the_last].iter_mut().for_each(|line| *line += end);
        lines
    }
}

/// Lays parts out behind a heading: each in the line of the one before it if
/// it fits there as a whole, else in lines of its own.
pub fn block(heading: ColoredString, parts: &[Part], width: usize) -> String {
    let heading_width = display_width(&heading);
    let mut text = format!("{heading}{}", gap(heading_width, INDENT));
    let mut column = heading_width.max(INDENT);
    for (number, Part { mark, text: part, kind }) in parts.iter().enumerate() {
        let mark_width = display_width(mark);
        let needs = mark_width + display_width(part);
        let next = next_column(column, width);
        if number > 0 && next + needs > width {
            text += &format!("\n{}", gap(0, INDENT));
            column = INDENT;
        } else if number > 0 {
            text += &gap(column, next);
            column = next;
        }
        // Below a call stands what is not it: so its own lines are indented.
        let hang = match number {
            0 => INDENT + 2,
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
            if number + 1 < lines.len() {
                column = hang;
            }
        }
    }
    text + "\n"
}

fn next_column(column: usize, width: usize) -> usize {
    match width >= WIDE {
        true => {
            (column + 2 - INDENT).div_ceil(COLUMN) * COLUMN + INDENT
        }
        false => column + 2,
    }
}

fn gap(from: usize, to: usize) -> String {
    " ".repeat(to.saturating_sub(from))
}

/// What is never cut: words, and what stands in quotes.
fn words<'a>(
    line: &'a str,
    quotes: &'static [char],
) -> Box<dyn Iterator<Item = Word<'a>> + 'a> {
    let (mut quoted, mut escaped, mut start) = (None, false, 0);
    let mut found = vec![];
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if before == ' ' && c != ' ' && quoted.is_none() && at > start {
            found.push(Word::from(&line[start..at]));
            start = at;
        }
        match quoted {
            _ if std::mem::take(&mut escaped) => {}
            Some('"') | None if c == '\\' && !quotes.is_empty() => {
                escaped = true
            }
            Some(quote) if c == quote => quoted = None,
            None if quotes.contains(&c) => quoted = Some(c),
            _ => {}
        }
        before = c;
    }
    found.push(Word::from(&line[start..]));
    Box::new(found.into_iter())
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
