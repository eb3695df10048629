//! A page of Markdown: its blocks, links and headings.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{
    CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd,
};
use testbed::{checkout, needs, skip};

/// A page, by its name below the checkout.
pub struct Page {
    pub name: String,
    pub text: String,
    pub links: Vec<Link>,
    pub headings: Vec<String>,
    /// The headings of the second level.
    pub parts: Vec<String>,
    /// Those of the third.
    pub entries: Vec<String>,
    blocks: Vec<Block>,
    root: PathBuf,
}

/// A link or a picture.
pub struct Link {
    pub line: usize,
    pub text: String,
    pub to: String,
}

impl Link {
    pub fn is_picture(&self) -> bool {
        self.to.ends_with(".svg")
    }
}

/// A fenced block.
pub struct Block {
    /// What stands after the fence: a language, and words of ours.
    info: String,
    pub line: usize,
    /// Where its text is in the page.
    pub text: Range<usize>,
    /// How many of the page's links come before it.
    links_before: usize,
}

impl Block {
    /// The words after the language.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.info.split_whitespace().skip(1)
    }

    /// The commands of a console, each with the output that the page shows. A
    /// command begins after `$ `, and goes on in lines that begin with `> `.
    pub fn commands(&self, page: &Page) -> Vec<(String, String)> {
        let mut commands: Vec<(String, String)> = Vec::new();
        for line in page.text[self.text.clone()].lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(typed), _) => {
                    commands.push((typed.into(), String::new()))
                }
                (None, Some((typed, output)))
                    if line.starts_with("> ") && output.is_empty() =>
                {
                    typed.push('\n');
                    typed.push_str(line);
                }
                (None, Some((_, output))) => {
                    output.push_str(line);
                    output.push('\n');
                }
                (None, None) => {
                    panic!(
                        "{} line {}: no `$ ` before {line:?}",
                        page.name, self.line
                    )
                }
            }
        }
        commands
    }
}

impl Page {
    pub fn read(root: &Path, name: &str) -> Page {
        let text = fs::read_to_string(root.join(name));
        let text = text.unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut page = Page {
            name: name.to_owned(),
            links: Vec::new(),
            headings: Vec::new(),
            parts: Vec::new(),
            entries: Vec::new(),
            blocks: Vec::new(),
            root: root.to_owned(),
            text,
        };
        page.parse();
        page
    }

    /// All pages of the course: those of the root, the steps, the exercises.
    pub fn all(root: &Path) -> Vec<Page> {
        let mut names = vec!["README.md".to_owned()];
        let mut directories = vec![root.join("steps"), root.join("exercises")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("read a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    // A learner's copies are no pages of ours.
                    if !path.ends_with("exercises/mine") {
                        directories.push(path);
                    }
                } else if path.extension().is_some_and(|e| e == "md") {
                    let below =
                        path.strip_prefix(root).expect("below the checkout");
                    names.push(below.display().to_string());
                }
            }
        }
        names.sort();
        names.iter().map(|name| Page::read(root, name)).collect()
    }

    /// Of which step a file of it is; 0 if none.
    pub fn number(name: &str) -> u32 {
        let name = name.strip_prefix("steps/").unwrap_or_default();
        name.get(..2).and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    pub fn directory(&self, root: &Path) -> PathBuf {
        root.join(&self.name).parent().expect("a directory").to_owned()
    }

    pub fn blocks(&self, language: &str) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| {
            block.info.split_whitespace().next() == Some(language)
        })
    }

    /// The source files that links before a block name, the last one last.
    pub fn files_before(&self, block: &Block) -> Vec<PathBuf> {
        let links = self.links[..block.links_before].iter();
        let files = links.filter(|link| link.to.ends_with(".rs"));
        files.map(|link| self.directory(&self.root).join(&link.to)).collect()
    }

    /// The text with other parts in place of some.
    pub fn with(&self, mut changes: Vec<(Range<usize>, String)>) -> String {
        let mut text = self.text.clone();
        changes.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        for (range, new) in changes {
            text.replace_range(range, &new);
        }
        text
    }

    fn parse(&mut self) {
        let text = std::mem::take(&mut self.text);
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        let mut heading = None;
        let mut open: Option<Block> = None;
        let mut in_link = false;
        for (event, range) in
            Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter()
        {
            match event {
                Event::Start(
                    Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. },
                ) => {
                    self.links.push(Link {
                        line: line(range.start),
                        text: String::new(),
                        to: dest_url.into_string(),
                    });
                    in_link = true;
                }
                Event::End(TagEnd::Link | TagEnd::Image) => in_link = false,
                Event::Start(Tag::Heading { level, .. }) => {
                    heading = Some((level, String::new()));
                }
                Event::End(TagEnd::Heading(_)) => {
                    let (level, words) = heading.take().expect("it began");
                    match level {
                        HeadingLevel::H2 => self.parts.push(words.clone()),
                        HeadingLevel::H3 => self.entries.push(words.clone()),
                        _ => {}
                    }
                    self.headings.push(words);
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    // Empty so far: it begins below its fence.
                    let begin = range.start
                        + text[range.start..].find('\n').expect("a line feed")
                        + 1;
                    open = Some(Block {
                        info: info.into_string(),
                        line: line(range.start),
                        text: begin..begin,
                        links_before: self.links.len(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => {
                    self.blocks.extend(open.take())
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(block) = &mut open {
                        block.text.end = range.end;
                        continue;
                    }
                    if let Some((_, heading)) = &mut heading {
                        heading.push_str(&words);
                    }
                    let link = self.links.last_mut().filter(|_| in_link);
                    if let Some(link) = link {
                        link.text.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        self.text = text;
    }
}

/// What they say is the same on every machine, and what they do is not.
pub fn all_pages() -> Vec<Page> {
    if needs::in_the_lab() {
        skip("a page says the same everywhere: judged outside");
    }
    Page::all(&checkout())
}

/// What a heading is called in a link, as GitHub does it.
pub fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    heading
        .to_lowercase()
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
