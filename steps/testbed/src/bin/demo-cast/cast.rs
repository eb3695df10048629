//! A cast is a file of JSON lines: a header, then one event a line. See
//! <https://docs.asciinema.org/manual/asciicast/v2/>.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use avt::Vt;
use serde_json::{Value, json};

/// What `demo.sh --record` sets its terminal to: legible on a slide.
const SIZE: (usize, usize) = (100, 28);

/// The beginning of what the demo tells us, and no terminal shows; its end.
const NOTE: &str = "\x1b]7777;";
const END_OF_NOTE: char = '\x07';

/// A recording.
pub struct Cast {
    pub title: String,
    pub size: (usize, usize),
    /// The host's kind of cgroups: v1, v2, hybrid, none.
    pub cgroup: String,
    pub events: Vec<Event>,
}

/// Something that happens some milliseconds after the beginning.
pub struct Event {
    pub at: u64,
    pub what: What,
}

pub enum What {
    /// The terminal prints it.
    Output(String),
    /// Players can jump here: a scene begins.
    Marker(String),
}

impl Cast {
    /// The demo did not wait: it has noted how long it would have. So a cast
    /// has the rhythm of a person, and no load of the machine is in it.
    pub fn of_demo(printed: &str) -> Result<Cast> {
        let mut cast = Cast {
            title: String::new(),
            size: SIZE,
            cgroup: String::new(),
            events: Vec::new(),
        };
        let mut clock = 0;
        let mut pieces = printed.split(NOTE);
        cast.output(clock, pieces.next().unwrap_or_default());
        for piece in pieces {
            let (note, output) = piece
                .split_once(END_OF_NOTE)
                .with_context(|| format!("a note without end: {piece:?}"))?;
            match note.split_once(';') {
                Some(("wait", ms)) => clock += ms.parse::<u64>()?,
                Some(("scene", title)) => cast.events.push(Event {
                    at: clock,
                    what: What::Marker(title.to_owned()),
                }),
                Some(("title", title)) => cast.title = title.to_owned(),
                Some(("cgroup", kind)) => cast.cgroup = kind.to_owned(),
                _ => bail!("the demo notes something unknown: {note:?}"),
            }
            cast.output(clock, output);
        }
        ensure!(clock > 0, "stdin is not what a demo prints with --record");
        // So that a player shows the end for a moment before it starts again.
        cast.events
            .push(Event { at: clock, what: What::Output(String::new()) });
        Ok(cast)
    }

    fn output(&mut self, at: u64, text: &str) {
        if !text.is_empty() {
            let what = What::Output(text.to_owned());
            self.events.push(Event { at, what });
        }
    }

    /// All lines that it shows, also those that it clears away later. One that
    /// the terminal has wrapped is one line.
    pub fn lines(&self) -> Vec<String> {
        const CLEAR: &str = "\x1b[2J";
        let printed =
            self.events.iter().filter_map(|event| match &event.what {
                What::Output(text) => Some(text.as_str()),
                What::Marker(_) => None,
            });
        let printed: String = printed.collect();
        let mut lines = Vec::new();
        for screen in printed.split(CLEAR) {
            let mut terminal = Vt::builder()
                .size(self.size.0, self.size.1)
                .scrollback_limit(screen.len())
                .build();
            terminal.feed_str(screen);
            lines.extend(terminal.text());
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
        }
        lines
    }
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let header = json!({
            "version": 2,
            "width": self.size.0,
            "height": self.size.1,
            "title": self.title,
            "env": { "TERM": "xterm-256color", "CGROUP": self.cgroup },
        });
        writeln!(f, "{header}")?;
        for event in &self.events {
            let (code, text) = match &event.what {
                What::Output(text) => ("o", text),
                What::Marker(text) => ("m", text),
            };
            writeln!(f, "{}", json!([event.at as f64 / 1000.0, code, text]))?;
        }
        Ok(())
    }
}

impl FromStr for Cast {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Cast> {
        let mut lines = text.lines();
        let header: Value =
            serde_json::from_str(lines.next().context("it is empty")?)?;
        ensure!(header["version"] == 2, "it is not of version 2");
        let number = |key: &str| {
            let number = header[key].as_u64().map(|n| n as usize);
            number.with_context(|| format!("the header has no {key}"))
        };
        let string =
            |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Cast {
            title: string(&header["title"]),
            size: (number("width")?, number("height")?),
            cgroup: string(&header["env"]["CGROUP"]),
            events: lines.map(event).collect::<Result<_>>()?,
        })
    }
}

fn event(line: &str) -> Result<Event> {
    let (seconds, code, text): (f64, String, String) =
        serde_json::from_str(line).with_context(|| line.to_owned())?;
    let what = match code.as_str() {
        "o" => What::Output(text),
        "m" => What::Marker(text),
        _ => bail!("an event of another kind: {code}"),
    };
    Ok(Event { at: (seconds * 1000.0).round() as u64, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_what_the_demo_noted() {
        let printed = "\x1b]7777;title;T\x07\x1b]7777;scene;One\x07hello\r\n\
                       \x1b]7777;wait;1500\x07bye\x1b]7777;wait;20\x07";
        let cast = Cast::of_demo(printed).unwrap().to_string();
        let events: Vec<_> = cast.lines().skip(1).collect();
        assert_eq!(
            events,
            [
                r#"[0.0,"m","One"]"#,
                r#"[0.0,"o","hello\r\n"]"#,
                r#"[1.5,"o","bye"]"#,
                r#"[1.52,"o",""]"#,
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let printed = "\x1b]7777;cgroup;v2\x07\"\u{2501}\x1b]7777;wait;1\x07";
        let cast = Cast::of_demo(printed).unwrap().to_string();
        let again: Cast = cast.parse().unwrap();
        assert_eq!(again.cgroup, "v2");
        assert_eq!(again.to_string(), cast);
    }

    #[test]
    fn what_no_demo_printed_is_no_cast() {
        for printed in ["", "hello", "\x1b]7777;x;1\x07", "\x1b]7777;wait"] {
            assert!(Cast::of_demo(printed).is_err(), "{printed:?}");
        }
        assert!("{\"version\": 3}".parse::<Cast>().is_err());
        assert!("".parse::<Cast>().is_err());
    }
}
