//! What the judge says, and how that reaches the screen.

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds: what was observed.
    Pass(String),
    /// It does not.
    Fail(Failure),
    /// It can't be judged here: why.
    Skip(String),
}

/// Why a program fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was seen.
    pub observed: String,
    /// What would have been right.
    pub expected: String,
    /// What to think about.
    pub hint: String,
}

impl Failure {
    /// What was seen, what was expected, and a hint that fits what was seen.
    pub fn new(
        observed: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
    ) -> Failure {
        Failure {
            observed: observed.into(),
            expected: expected.into(),
            hint: hint.into(),
        }
    }
}

/// A verdict, and what had to be cleaned up after the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The verdict.
    pub verdict: Verdict,
    /// What the program left behind.
    pub cleaned: Vec<String>,
}

impl From<Verdict> for Told {
    fn from(verdict: Verdict) -> Told {
        Told { verdict, cleaned: Vec::new() }
    }
}

/// Between two fields. No text of ours has it; from a program's it is removed.
const END: char = '\0';

impl Told {
    /// As bytes for a pipe.
    #[must_use]
    pub fn to_text(&self) -> String {
        let fields: Vec<&str> = match &self.verdict {
            Verdict::Pass(observed) => vec!["pass", observed],
            Verdict::Skip(reason) => vec!["skip", reason],
            Verdict::Fail(Failure { observed, expected, hint }) => {
                vec!["fail", observed, expected, hint]
            }
        };
        let cleaned = self.cleaned.iter().map(String::as_str);
        let clean = |field: &str| field.replace(END, "") + "\0";
        fields.into_iter().chain(cleaned).map(clean).collect()
    }

    /// And back. `None` if the judge did not finish.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Told> {
        let fields = text.strip_suffix(END)?.split(END);
        let fields: Vec<String> = fields.map(str::to_owned).collect();
        let (verdict, cleaned) = match &fields[..] {
            [word, observed, rest @ ..] if word == "pass" => {
                (Verdict::Pass(observed.clone()), rest)
            }
            [word, reason, rest @ ..] if word == "skip" => {
                (Verdict::Skip(reason.clone()), rest)
            }
            [word, observed, expected, hint, rest @ ..] if word == "fail" => {
                (Verdict::Fail(Failure::new(observed, expected, hint)), rest)
            }
            _ => return None,
        };
        Some(Told { verdict, cleaned: cleaned.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_the_pipe() {
        let failure = Failure::new("seen", "wanted\nin two lines", "a hint");
        for verdict in [
            Verdict::Pass("seen".into()),
            Verdict::Skip(String::new()),
            Verdict::Fail(failure),
        ] {
            let told = Told { verdict, cleaned: vec!["a mount".into()] };
            assert_eq!(Told::from_text(&told.to_text()), Some(told));
        }
        // No program writes a field of ours.
        let told = Told::from(Verdict::Pass("pass\0observed\0".into()));
        let passed = Verdict::Pass("passobserved".into());
        assert_eq!(Told::from_text(&told.to_text()), Some(passed.into()));
        assert_eq!(Told::from_text("pass\0cut o"), None);
        assert_eq!(Told::from_text(""), None);
        assert_eq!(Told::from_text("else\0seen\0wanted\0a hint\0"), None);
    }
}
