//! Words of others in what we tell: they stay words.

use std::ffi::OsStr;
use std::fmt::{Display, Write};
use std::os::unix::ffi::OsStrExt;

/// A file's name may hold line feeds and escape sequences. Shown as they are,
/// they could forge lines of this story.
pub fn one_line(text: impl Display) -> String {
    let mut line = String::new();
    for c in text.to_string().chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Where a reader of a call or of a command line is: in quotes, or between.
#[derive(Debug, Default)]
pub struct Quoting {
    quote: Option<char>,
    /// A backslash takes the next one's meaning away.
    knows_escapes: bool,
    escaped: bool,
    before: Option<char>,
}

impl Quoting {
    /// Reads one more. `quotes` are those that count.
    pub fn read(&mut self, c: char, quotes: &[char]) {
        match self.quote {
            _ if std::mem::take(&mut self.escaped) => {}
            Some(_) if c == '\\' => self.escaped = self.knows_escapes,
            None if c == '\\' => self.escaped = !quotes.is_empty(),
            Some(quote) if quote == c => self.quote = None,
            None if quotes.contains(&c) => {
                self.quote = Some(c);
                self.knows_escapes = c == '"' || self.before == Some('$');
            }
            _ => {}
        }
        self.before = Some(c);
    }

    /// Whether what comes next is in quotes.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.quote.is_some()
    }

    /// Whether a shell would read `'` there as the end.
    #[must_use]
    pub fn ends_with_a_quote(&self) -> bool {
        self.quote == Some('\'') && !self.knows_escapes
    }
}

/// Quotes words for a shell: what is shown can be typed.
pub fn shell<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<_> =
        words.into_iter().map(|w| word(w.as_ref().as_bytes())).collect();
    words.join(" ")
}

/// Plain, else in quotes; where it holds what no person can type, in those of
/// bash that know escapes: `$'a\nb'`.
fn word(bytes: &[u8]) -> String {
    let plain =
        |&b: &u8| b.is_ascii_alphanumeric() || b"/._-,:=+@%^".contains(&b);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(plain) => text.into(),
        Ok(text) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let mut quoted = String::from("$'");
            for chunk in bytes.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '\n' => quoted += r"\n",
                        '\t' => quoted += r"\t",
                        '\'' | '\\' => quoted.extend(['\\', c]),
                        c if c.is_control() => {
                            let mut bytes = [0; 4];
                            escape(&mut quoted, c.encode_utf8(&mut bytes));
                        }
                        c => quoted.push(c),
                    }
                }
                escape(&mut quoted, chunk.invalid());
            }
            quoted + "'"
        }
    }
}

fn escape(quoted: &mut String, bytes: impl AsRef<[u8]>) {
    for byte in bytes.as_ref() {
        let _ = write!(quoted, r"\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_shell_reads_the_words_that_were_quoted(
            words in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(1..=255_u8, 0..9),
                    "[a-z '\"\\\\\n$~é*]{0,9}".prop_map(String::into_bytes),
                ],
                1..4,
            )
        ) {
            let words: Vec<_> = words.into_iter().map(OsString::from_vec).collect();
            let script = format!("printf '%s\\0' {}", shell(&words));
            prop_assert_eq!(one_line(&script), script.clone());
            let bash = Command::new("bash").args(["-c", &script]).output().unwrap();
            let mut expected = vec![];
            for word in words {
                expected.extend(word.into_vec());
                expected.push(0);
            }
            prop_assert_eq!(bash.stdout, expected, "{}", script);
        }
    }
}
