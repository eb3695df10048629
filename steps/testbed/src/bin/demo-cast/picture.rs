//! A picture of some scenes: an SVG that needs nothing from outside and moves
//! by CSS alone, as it must where a README shows it. Who wants less motion
//! sees the last frame.

use std::fmt::{self, Write};
use std::ops::Range;

use anyhow::{Context, Result};
use avt::{Cell, Color, Line, Pen, Vt};

use crate::cast::{Cast, What};

/// Of a cell, and around them all. In pixels.
const CELL: (f64, f64) = (8.0, 19.0);
const MARGIN: f64 = 16.0;

/// Of a row's text, below its top.
const BASELINE: f64 = 14.0;

/// What the terminal shows for less is not seen: a command is typed at once.
const SHORTEST: u64 = 300;
const LONGEST: u64 = 3500;
const LAST: u64 = 6000;

/// Of the terminal's first colours. Each can be read on the background, which
/// is the same whatever the page's is.
const COLOURS: [&str; 8] = [
    "#8b929e", "#f47c7c", "#8fd07f", "#e6c86e", "#74b8f0", "#cf8fe0",
    "#6fcaca", "#e2e5ea",
];
const TEXT: &str = "#e2e5ea";
const FONT: &str = "ui-monospace, SFMono-Regular, Menlo, Consolas, \
                    DejaVu Sans Mono, monospace";
const BACKGROUND: &str = "#16191f";

pub struct Picture {
    title: String,
    size: (usize, usize),
    frames: Vec<Frame>,
}

/// What the terminal shows for some milliseconds: its rows, drawn.
struct Frame {
    rows: Vec<String>,
    lasts: u64,
}

impl Picture {
    pub fn of(cast: &Cast, scenes: &[String]) -> Result<Picture> {
        let mut frames = Vec::new();
        for scene in scenes {
            frames.extend(frames_of(cast, scene)?);
        }
        if let Some(last) = frames.last_mut() {
            last.lasts = LAST;
        }
        Ok(Picture { title: cast.title.clone(), size: cast.size, frames })
    }

    /// Rows, each with the frames in which it looks the same.
    fn appearances(&self) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        for row in 0..self.size.1 {
            let mut from = 0;
            for frame in 1..=self.frames.len() {
                let same = self.frames.get(frame).is_some_and(|next| {
                    next.rows[row] == self.frames[from].rows[row]
                });
                if !same {
                    found.push((row, from..frame));
                    from = frame;
                }
            }
        }
        found.retain(|(row, when)| {
            !self.frames[when.start].rows[*row].is_empty()
        });
        found
    }

    /// How long the first frames last, in milliseconds.
    fn duration(&self, frames: usize) -> u64 {
        self.frames[..frames].iter().map(|frame| frame.lasts).sum()
    }
}

fn frames_of(cast: &Cast, scene: &str) -> Result<Vec<Frame>> {
    let mut terminal = Vt::new(cast.size.0, cast.size.1);
    let mut frames = Vec::new();
    let mut now = "";
    for (number, event) in cast.events.iter().enumerate() {
        match &event.what {
            What::Marker(title) => now = title,
            What::Output(text) => {
                terminal.feed_str(text);
            }
        }
        let next = cast.events.get(number + 1).map_or(event.at, |e| e.at);
        if now == scene && next - event.at >= SHORTEST {
            frames.push(Frame {
                rows: terminal.view().map(draw).collect(),
                lasts: (next - event.at).min(LONGEST),
            });
        }
    }
    frames
        .first()
        .with_context(|| format!("the cast has no scene {scene:?}"))?;
    Ok(frames)
}

/// A row, as SVG texts of one style each. Every one is placed and as wide as
/// its cells, whatever font the reader has.
fn draw(line: &Line) -> String {
    let mut drawn = String::new();
    let mut column = 0;
    for run in line.cells().chunk_by(|a, b| a.pen() == b.pen()) {
        let text: String = run.iter().map(Cell::char).collect();
        let begin = text.len() - text.trim_start().len();
        let text = text.trim();
        if !text.is_empty() {
            let _ = write!(
                drawn,
                r#"<text x="{:.0}" textLength="{:.0}"{}>{}</text>"#,
                (column + begin) as f64 * CELL.0,
                text.chars().count() as f64 * CELL.0,
                style(run[0].pen()),
                escape(text),
            );
        }
        column += run.len();
    }
    drawn
}

fn style(pen: &Pen) -> String {
    let mut style = String::new();
    if let Some(Color::Indexed(colour @ 0..8)) = pen.foreground() {
        style += &format!(r#" fill="{}""#, COLOURS[usize::from(colour)]);
    }
    if pen.is_bold() {
        style += r#" font-weight="bold""#;
    }
    if pen.is_faint() {
        style += r#" opacity=".7""#;
    }
    style
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let width = self.size.0 as f64 * CELL.0 + 2.0 * MARGIN;
        let height = self.size.1 as f64 * CELL.1 + 2.0 * MARGIN;
        write!(f, r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" "#)?;
        write!(f, r#"viewBox="0 0 {width:.0} {height:.0}" fill="{TEXT}" "#)?;
        writeln!(f, r#"font-family="{FONT}" font-size="13">"#)?;
        writeln!(f, "<title>{}</title>", escape(&self.title))?;
        self.style_sheet(f)?;
        write!(f, r#"<rect width="100%" height="100%" rx="8" "#)?;
        writeln!(f, r#"fill="{BACKGROUND}"/>"#)?;
        for (row, when) in self.appearances() {
            let past = if when.end < self.frames.len() { " past" } else { "" };
            let y = MARGIN + row as f64 * CELL.1 + BASELINE;
            let texts = &self.frames[when.start].rows[row];
            write!(f, r#"<g class="{}{past}" "#, name(&when))?;
            write!(f, r#"transform="translate({MARGIN} {y})">"#)?;
            writeln!(f, "{texts}</g>")?;
        }
        writeln!(f, "</svg>")
    }
}

impl Picture {
    /// One animation for all rows that come and go at the same times.
    fn style_sheet(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all = self.duration(self.frames.len());
        let percent = |frame| 100.0 * self.duration(frame) as f64 / all as f64;
        let mut times: Vec<_> =
            self.appearances().into_iter().map(|(_, when)| when).collect();
        times.sort_by_key(|when| (when.start, when.end));
        times.dedup();
        writeln!(f, "<style>\ntext {{ white-space: pre }}")?;
        writeln!(f, ".past {{ visibility: hidden }}")?;
        writeln!(f, "@media (prefers-reduced-motion: no-preference) {{")?;
        for when in &times {
            let name = name(when);
            let (from, to) = (percent(when.start), percent(when.end));
            write!(f, ".{name} {{ animation: {name} {all}ms ")?;
            writeln!(f, "step-end infinite }} @keyframes {name} {{")?;
            writeln!(f, "0%, {to:.2}% {{ visibility: hidden }}")?;
            writeln!(f, "{from:.2}% {{ visibility: visible }} }}")?;
        }
        writeln!(f, "}}\n</style>")
    }
}

/// Of the animation of what is seen in these frames.
fn name(frames: &Range<usize>) -> String {
    format!("f{}-{}", frames.start, frames.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(scenes: &[&str]) -> Result<String> {
        let printed = "\x1b]7777;scene;One\x07first\x1b]7777;wait;500\x07\
                       \x1b]7777;scene;Two\x07\x1b[H\x1b[J\x1b[31ma<b\
                       \x1b]7777;wait;500\x07";
        let scenes: Vec<_> = scenes.iter().map(|s| s.to_string()).collect();
        let picture = Picture::of(&Cast::of_demo(printed)?, &scenes)?;
        Ok(picture.to_string())
    }

    #[test]
    fn what_is_past_at_the_end_is_hidden_without_motion() {
        let picture = picture(&["One", "Two"]).unwrap();
        assert!(picture.contains(r#"class="f0-1 past""#));
        assert!(picture.contains(r#"class="f1-2""#));
    }

    #[test]
    fn a_scene_alone_shows_nothing_of_the_others() {
        let picture = picture(&["Two"]).unwrap();
        assert!(!picture.contains("first"));
        assert!(picture.contains(r##" fill="#f47c7c">a&lt;b</text>"##));
    }

    #[test]
    fn a_scene_that_is_not_there_is_an_error() {
        assert!(picture(&["Three"]).is_err());
    }
}
