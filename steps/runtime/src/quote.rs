//! Words of others in what we tell: they stay words.

use std::ffi::OsStr;
use std::fmt::Display;

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

/// Quotes words for a shell: what is shown can be typed.
pub fn shell<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let words = words
        .into_iter()
        .map(|word| word.as_ref().to_string_lossy().into_owned());
    shell_words::join(words)
}
