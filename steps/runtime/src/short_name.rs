//! Short names for long paths: `$ROOT` is easier to read than the cache
//! directory, and can be typed as well.

use std::cell::Cell;
use std::path::Path;

use crate::quote::{self, Quoting};

/// A path of this length needs none.
const SHORT: usize = 12;

/// A variable that stands for a path in what is told.
#[derive(Debug)]
pub struct ShortName {
    name: &'static str,
    /// The path as it stands in a call, without quotes.
    in_a_call: String,
    /// As a shell takes it as a word.
    in_a_shell: String,
    explained: Cell<bool>,
}

impl ShortName {
    /// `None` where the path is short enough.
    pub fn of(name: &'static str, path: &Path) -> Option<ShortName> {
        let in_a_call = format!("{path:?}").trim_matches('"').to_owned();
        (in_a_call.len() > SHORT).then(|| ShortName {
            name,
            in_a_call,
            in_a_shell: quote::shell([path]),
            explained: Cell::new(false),
        })
    }

    /// A call, with the name in place of the path.
    pub fn shorten_call(&self, call: &str) -> String {
        replace(call, &self.in_a_call, |_| format!("${}", self.name))
    }

    /// A shell's command line that means the same as before.
    pub fn shorten_shell(&self, line: &str) -> String {
        let name = self.name;
        let quoted = self.in_a_shell.strip_suffix('\'');
        let opening = ["'", "$'"]
            .into_iter()
            .find(|quote| self.in_a_shell.starts_with(quote));
        match quoted.zip(opening) {
            None => replace(line, &self.in_a_shell, |before| {
                let mut quoting = Quoting::default();
                before.chars().for_each(|c| quoting.read(c, &['\'', '"']));
                match quoting.is_inside() {
                    false => format!("${name}"),
                    // In quotes it would stay a word: they end before it.
                    true if quoting.ends_with_a_quote() => {
                        format!("'${name}'")
                    }
                    true => self.in_a_shell.clone(),
                }
            }),
            // In quotes, there alone or with something behind it.
            Some((quoted, opening)) => {
                let name = format!("\"${name}\"");
                let and_more = format!("{name}{opening}");
                let nothing_more = format!("{and_more}'");
                replace(line, quoted, |_| and_more.clone())
                    .replace(&nothing_more, &name)
            }
        }
    }

    /// What explains it, the first time that it is used in `text`.
    pub fn explanation(&self, text: &str) -> Option<(String, String)> {
        let used = format!("${}", self.name);
        let first = text.contains(&used) && !self.explained.replace(true);
        first.then(|| (used, format!("{}={}", self.name, self.in_a_shell)))
    }
}

/// Only where the path ends there, or goes on with a slash.
fn replace(text: &str, path: &str, name: impl Fn(&str) -> String) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(path) {
        let (before, found) = rest.split_at(at);
        let after = &found[path.len()..];
        done += before;
        let part_of_a_name =
            |c: char| c.is_alphanumeric() || "._-%+@~/".contains(c);
        let begins = !before.ends_with(part_of_a_name);
        let ends = after.starts_with('/') || !after.starts_with(part_of_a_name);
        match begins && ends {
            true => done += &name(&text[..text.len() - found.len()]),
            false => done += path,
        }
        rest = after;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> ShortName {
        ShortName::of("ROOT", Path::new(path)).expect("it is long")
    }

    #[test]
    fn a_call_and_a_command_have_the_name_where_the_path_was() {
        let root = name("/var/cache/workshop/root");
        assert_eq!(
            root.shorten_call(
                "mount(\"/var/cache/workshop/root\", \"/var/cache/workshop/root/a\")"
            ),
            "mount(\"$ROOT\", \"$ROOT/a\")"
        );
        for (long, short) in [
            ("cd /var/cache/workshop/root", "cd $ROOT"),
            ("ls /var/cache/workshop/root/x", "ls $ROOT/x"),
            ("ls /var/cache/workshop/root-2", "ls /var/cache/workshop/root-2"),
            (
                "ls /my/var/cache/workshop/root",
                "ls /my/var/cache/workshop/root",
            ),
            (
                "sh -c 'cd /var/cache/workshop/root; ls'",
                "sh -c 'cd '$ROOT'; ls'",
            ),
            (
                "mount -o upper=/var/cache/workshop/root/u",
                "mount -o upper=$ROOT/u",
            ),
        ] {
            assert_eq!(root.shorten_shell(long), short);
        }
    }

    #[test]
    fn a_path_with_spaces_stays_one_word() {
        let root = name("/var/cache/my workshop/root");
        for (long, short) in [
            ("cd '/var/cache/my workshop/root'", "cd \"$ROOT\""),
            ("ls '/var/cache/my workshop/root/x'", "ls \"$ROOT\"'/x'"),
        ] {
            assert_eq!(root.shorten_shell(long), short);
        }
    }

    #[test]
    fn a_short_path_needs_none() {
        assert!(ShortName::of("ROOT", Path::new("/srv/root")).is_none());
    }
}
