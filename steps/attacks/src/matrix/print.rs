//! The matrix for a screen, for a page, and as data.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};

use crate::cells::{Cell, column_name, expected, given_back};
use crate::proofs::{Outside, Proof};
use crate::row::Row;

/// A terminal, with colour where it has some. The signs say it without.
pub struct Screen {
    colour: bool,
    /// Each reason once, by its letter.
    reasons: RefCell<Vec<String>>,
}

const WORKS: &str = "○";
const STOPPED: &str = "●";
const WITH_OPTION: &str = "◐";
const NOTHING: &str = "·";
/// After the name of what is tried only in the lab.
const LAB: &str = " ⚠";

impl Screen {
    pub fn new() -> Screen {
        let no_colour =
            std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            colour: io::stdout().is_terminal() && !no_colour,
            reasons: RefCell::default(),
        }
    }

    pub fn head(&self, steps: &[usize]) {
        let names =
            steps.iter().map(|step| format!("{:>5}", column_name(*step)));
        self.say(&format!("{:19}{}", "attack", names.collect::<String>()));
    }

    pub fn row(&self, row: &Row) {
        let mut line = format!("{:19}", row.proof.attack);
        for (step, cell) in &row.cells {
            let differs = row.differing().any(|(other, ..)| other == *step);
            let (sign, colour) = match cell {
                Cell::Works => (WORKS.into(), AnsiColor::Red),
                Cell::Stopped => (STOPPED.into(), AnsiColor::Green),
                Cell::StoppedWith(_) => (WITH_OPTION.into(), AnsiColor::Green),
                Cell::Nothing(_) => (NOTHING.into(), AnsiColor::BrightBlack),
                Cell::Untried => ("".into(), AnsiColor::BrightBlack),
                Cell::Broken(_) => ("?".into(), AnsiColor::Red),
                Cell::Impossible(reason) => {
                    (self.letter(reason), AnsiColor::Yellow)
                }
            };
            let mark = if differs { "!" } else { "" };
            let sign = format!("{:>5}", format!("{mark}{sign}"));
            line += &self.paint(colour, differs, &sign);
        }
        let option = row.cells.iter().find_map(|(_, cell)| match cell {
            Cell::StoppedWith(option) => Some(*option),
            _ => None,
        });
        if let Some(option) = option {
            let _ = write!(line, "  {option}");
        }
        self.say(&line);
    }

    pub fn foot(&self, rows: &[Row]) {
        let worked = self.paint(AnsiColor::Red, false, WORKS);
        let stopped = self.paint(AnsiColor::Green, false, STOPPED);
        let option = self.paint(AnsiColor::Green, false, WITH_OPTION);
        self.say(&format!(
            "\n{worked} works   {stopped} stopped   {option} works, and is \
             stopped with the option on the right\n{NOTHING} nothing to attack \
             there   none: no container, or one made by hand with a mistake"
        ));
        for (number, reason) in self.reasons.borrow().iter().enumerate() {
            let letter = self.paint(AnsiColor::Yellow, false, &name(number));
            self.say(&format!("{letter} not possible here: {reason}"));
        }
        let mut count = 0;
        for row in rows {
            for (step, cell, expected) in row.differing() {
                count += 1;
                let text = format!(
                    "! {} at {}: {}, expected: {}",
                    row.proof.attack,
                    column_name(step),
                    cell.word(),
                    expected.word()
                );
                self.say(&self.paint(AnsiColor::Red, true, &text));
                if let Cell::Broken(reason) = cell {
                    self.say(&format!("  {reason}"));
                }
            }
        }
        let cells = rows.iter().flat_map(|row| &row.cells);
        let measured = cells.filter(|(_, cell)| cell.is_measured());
        self.say(&format!(
            "{} attacks, {} cells measured, {count} not as expected",
            rows.len(),
            measured.count()
        ));
    }

    /// A line for each: what was given back, and whether it works again. The exit
    /// status is that of a matrix.
    pub fn given_back<'a>(
        &self,
        proofs: impl Iterator<Item = &'a Proof>,
    ) -> ExitCode {
        let (mut works, mut broken) = (false, false);
        for proof in proofs {
            let Some(cell) = given_back(proof) else { continue };
            works |= cell == Cell::Works;
            broken |= !matches!(cell, Cell::Works | Cell::Impossible(_));
            let (attack, options) = (proof.attack, proof.given_back);
            let options = options.unwrap_or_default().join(" ");
            let reason = cell.reason().map(|it| format!(": {it}"));
            let (word, reason) = (cell.word(), reason.unwrap_or_default());
            self.say(&format!("{attack:19}{word} with {options}{reason}"));
        }
        ExitCode::from(match (broken, works) {
            (true, _) => 1,
            (false, true) => 0,
            (false, false) => 3,
        })
    }

    fn letter(&self, reason: &str) -> String {
        let mut reasons = self.reasons.borrow_mut();
        let known = reasons.iter().position(|known| known == reason);
        name(known.unwrap_or_else(|| {
            reasons.push(reason.to_owned());
            reasons.len() - 1
        }))
    }

    fn paint(&self, colour: AnsiColor, loud: bool, text: &str) -> String {
        let style = Style::new().fg_color(Some(colour.into()));
        let style = if loud { style.bold().invert() } else { style };
        match self.colour {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }

    /// stdout may be closed: no reason to panic.
    fn say(&self, text: &str) {
        let text = runtime::locale::shown(text.trim_end());
        let _ = writeln!(io::stdout(), "{text}");
    }
}

/// a, b, c …
fn name(number: usize) -> String {
    char::from(b'a' + (number % 26) as u8).to_string()
}

/// For the front page: what is expected, which the tests measure.
pub fn markdown(rows: &[Row]) -> String {
    let steps: Vec<_> = rows[0].cells.iter().map(|(step, _)| *step).collect();
    let names: Vec<_> = steps.iter().map(|step| column_name(*step)).collect();
    let mut page = format!(
        "\n| attack | {} |\n|---|{}\n",
        names.join(" | "),
        ":-:|".repeat(steps.len())
    );
    for row in rows {
        let lab = if row.proof.lab_only { LAB } else { "" };
        let _ = write!(page, "| `{}`{lab} |", row.proof.attack);
        for (_, cell) in &row.cells {
            let _ = match cell {
                Cell::Works => write!(page, " {WORKS} |"),
                Cell::Stopped => write!(page, " {STOPPED} |"),
                Cell::StoppedWith(option) => write!(page, " `{option}` |"),
                _ => write!(page, " {NOTHING} |"),
            };
        }
        page.push('\n');
    }
    page.push_str(
        "\nnone: no container, or one made by hand with a well-known mistake. \
         `·`: there is nothing to attack yet. `⚠`: it harms a machine, and is \
         tried only in the lab.\n\n",
    );
    page
}

/// For a page: what a whole machine lets through again.
pub fn again<'a>(proofs: impl Iterator<Item = &'a Proof>) -> String {
    let mut table: String =
        "\n| attack | which wall holds instead? |\n|---|---|\n".into();
    for attack in proofs.map(Proof::attack) {
        if let Some(wall) = attack.again_in_10() {
            let _ = writeln!(table, "| `{}` | {wall} |", attack.name);
        }
    }
    table + "\n"
}

pub fn json(rows: &[Row]) -> String {
    let columns = rows.iter().take(1).flat_map(|row| &row.cells);
    let columns: Vec<_> =
        columns.map(|(step, _)| quoted(&column_name(*step))).collect();
    let rows: Vec<_> = rows.iter().map(row_as_json).collect();
    format!(
        "{{\"columns\": [{}],\n \"attacks\": [\n{}\n]}}\n",
        columns.join(", "),
        rows.join(",\n")
    )
}

fn row_as_json(row: &Row) -> String {
    let attack = row.proof.attack();
    let outside = match row.proof.outside {
        Outside::Host => "the host itself",
        Outside::ByHand(how) => how,
        Outside::Nothing => "",
    };
    let cells: Vec<_> = row
        .cells
        .iter()
        .map(|(step, cell)| {
            let mut fields = vec![("is", cell.word())];
            let wanted = expected(row.proof, *step);
            if wanted != *cell {
                fields.push(("expected", wanted.word()));
            }
            if let Some(reason) = cell.reason() {
                fields.push(("why", reason.to_owned()));
            }
            if let Some(wall) = row.proof.again_at(*step) {
                fields.push(("instead", wall.to_owned()));
            }
            format!("{}: {}", quoted(&column_name(*step)), object(&fields))
        })
        .collect();
    format!(
        "  {{\"attack\": {}, \"tries\": {},\n   \"stopped_by\": {}, \"rule\": {},\n   \
         \"source\": {}, \"none_means\": {}, \"lab_only\": {},\n   \"cells\": {{\n     {}}}}}",
        quoted(attack.name),
        quoted(attack.tries),
        quoted(&attack.stopped.to_string()),
        quoted(attack.rule),
        quoted(attack.source),
        quoted(outside),
        row.proof.lab_only,
        cells.join(",\n     ")
    )
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

/// A string of RFC 8259.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}
