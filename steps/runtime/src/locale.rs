//! What a terminal shows: where its locale knows no UTF-8, ASCII stands in.

/// As this terminal can show it.
#[must_use]
pub fn shown(text: &str) -> String {
    const STAND_INS: [(char, &str); 9] = [
        ('≙', "$"),
        ('–', "-"),
        ('…', "..."),
        ('·', "-"),
        ('✓', "*"),
        ('⏎', "[Enter]"),
        ('○', "o"),
        ('●', "#"),
        ('◐', "%"),
    ];
    match shows_utf8() {
        true => text.to_owned(),
        false => {
            STAND_INS.iter().fold(text.to_owned(), |text, (sign, ascii)| {
                text.replace(*sign, ascii)
            })
        }
    }
}

/// locale(7): the first of these that is set counts. None is POSIX: ASCII.
#[must_use]
pub fn shows_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_string_lossy().to_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}
