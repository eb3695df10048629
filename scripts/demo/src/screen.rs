//! What the audience sees, on a terminal or elsewhere.

use std::env;
use std::io::{IsTerminal, Write, stdout};

use regex_lite::Regex;
use rustix::termios::tcgetwinsize;

use crate::Played;

pub struct Screen {
    kind: Kind,
    colour: bool,
    utf8: bool,
    escapes: Regex,
    /// Of what is no terminal, a line that is not complete.
    line: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Terminal,
    /// For demo-cast: what a terminal of 100 columns would show.
    Recorded,
    /// No colours.
    File,
}

pub const BOLD: &str = "\x1b[1m";
pub const DIM: &str = "\x1b[2m";
pub const RED: &str = "\x1b[31m";
pub const GREEN: &str = "\x1b[32m";
pub const CYAN: &str = "\x1b[36m";
pub const PLAIN: &str = "\x1b[0m";

/// Characters of ours, and what stands in for them.
const ASCII: &[(char, &str)] =
    &[('━', "-"), ('·', "-"), ('✔', "*"), ('✘', "!"), ('⏎', "[Enter]")];

impl Screen {
    pub fn new(recorded: bool, utf8: bool) -> Screen {
        let kind = match recorded {
            true => Kind::Recorded,
            false if stdout().is_terminal() => Kind::Terminal,
            false => Kind::File,
        };
        let no_color = env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
        let escapes = r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[^\[]|[\r\x00]";
        Screen {
            kind,
            colour: kind != Kind::File && !no_color,
            utf8,
            escapes: Regex::new(escapes).expect("a pattern"),
            line: Vec::new(),
        }
    }

    /// Rows and columns: of what runs here, too.
    pub fn size(&self) -> (u16, u16) {
        let window = tcgetwinsize(stdout()).ok();
        match window.filter(|it| it.ws_row > 0 && it.ws_col > 0) {
            _ if self.kind == Kind::Recorded => (28, 100),
            Some(window) => (window.ws_row, window.ws_col),
            None => (24, 80),
        }
    }

    /// Writes what comes from a terminal.
    pub fn relay(&mut self, bytes: &[u8]) -> Played<()> {
        if self.kind != Kind::File {
            stdout().write_all(bytes)?;
            return Ok(stdout().flush()?);
        }
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n')
        else {
            return Ok(());
        };
        let lines: Vec<u8> = self.line.drain(..=end).collect();
        Ok(stdout().write_all(self.text_of(&lines).as_bytes())?)
    }

    /// Writes something of ours.
    pub fn print(&mut self, text: &str) -> Played<()> {
        let mut text = text.replace('\n', "\r\n");
        for (sign, ascii) in ASCII.iter().filter(|_| !self.utf8) {
            text = text.replace(*sign, ascii);
        }
        self.relay(text.as_bytes())
    }

    /// In a colour, if there are any.
    pub fn painted(&self, colour: &str, text: &str) -> String {
        match self.colour {
            true => format!("{colour}{text}{PLAIN}"),
            false => text.to_owned(),
        }
    }

    pub fn paint(&mut self, colour: &str, text: &str) -> Played<()> {
        self.print(&self.painted(colour, text))
    }

    /// Something that no terminal shows, for the recording.
    pub fn note(
        &mut self,
        key: &str,
        value: impl std::fmt::Display,
    ) -> Played<()> {
        match self.kind {
            Kind::Recorded => {
                self.print(&format!("\x1b]7777;{key};{value}\x07"))
            }
            _ => Ok(()),
        }
    }

    /// Colours that nobody sees mark where output begins and ends.
    pub fn mark(&mut self, colour: &str) -> Played<()> {
        match self.kind {
            Kind::Recorded => self.print(colour),
            _ => Ok(()),
        }
    }

    /// A paragraph: each line, with the space after it, leaves two columns.
    pub fn tell(&mut self, text: &str) -> Played<()> {
        let width = usize::from(self.size().1).saturating_sub(2);
        self.print(&(broken(text, 0, width) + "\n"))
    }

    /// A command, as a terminal shows it behind a prompt: nobody can read a word
    /// that goes on in the next line.
    pub fn typed(&self, command: &str, prompt: usize) -> String {
        match self.kind {
            Kind::Terminal => broken(command, prompt, self.size().1.into()),
            _ => command.to_owned(),
        }
    }

    /// At the top of an empty terminal, if a person plays.
    pub fn heading(&mut self, text: &str, clear: bool) -> Played<()> {
        if clear {
            self.print("\x1b[H\x1b[2J")?;
        }
        let columns = usize::from(self.size().1);
        let rest = columns.saturating_sub(text.chars().count() + 6);
        let heading = format!("━━ {text} {}", "━".repeat(rest));
        self.print("\n")?;
        self.paint(&(BOLD.to_owned() + CYAN), &heading)?;
        self.print("\n\n")
    }

    /// Without colours and the like.
    pub fn text_of(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        self.escapes.replace_all(&text, "").into_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let rest = self.text_of(&self.line);
        let _ = stdout().write_all(rest.as_bytes());
    }
}

/// With line breaks between words. The first line begins at a column.
fn broken(text: &str, mut column: usize, width: usize) -> String {
    let mut told = String::new();
    for word in text.split_inclusive(' ') {
        let length = word.chars().count();
        if column > 0 && column + length > width {
            told.truncate(told.trim_end().len());
            told += "\n";
            column = 0;
        }
        told += word;
        column = match word.rsplit_once('\n') {
            Some((_, rest)) => rest.chars().count(),
            None => column + length,
        };
    }
    told
}

/// locale(7): the first of these that is set counts. None is POSIX: ASCII.
pub fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
