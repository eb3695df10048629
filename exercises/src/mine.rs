//! The learner's copies and progress. Nothing else touches them: no update, no
//! test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::package::write_package;
use crate::{ALL, Exercise};

/// Says where the copies are, if not in the checkout.
const VARIABLE: &str = "EXERCISES";

/// A learner's directory.
#[derive(Debug)]
pub struct Mine {
    directory: PathBuf,
    progress: BTreeMap<String, Progress>,
}

/// How far one exercise is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Open, passed or skipped.
    pub state: State,
    /// How many hints were asked for.
    pub hints: usize,
    /// How often the solution was asked for.
    pub solutions: usize,
}

/// What became of an exercise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// To be solved.
    #[default]
    Open,
    /// Solved.
    Passed,
    /// Put off.
    Skipped,
}

impl State {
    const ALL: [State; 3] = [State::Open, State::Passed, State::Skipped];

    /// As in the text file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Passed => "passed",
            State::Skipped => "skipped",
        }
    }
}

impl Mine {
    /// Opens the directory. It makes what is missing: a copy of each exercise.
    /// What is there stays.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn open(checkout: &Path) -> Result<Mine> {
        let named = std::env::var_os(VARIABLE).map(PathBuf::from);
        let directory = named.unwrap_or(checkout.join("exercises/mine"));
        fs::create_dir_all(&directory).with_context(|| {
            format!(
                "make {}: this checkout is not yours to write. Clone one of \
                 your own (git clone {} ~/workshop), or name a place for your \
                 copies: EXERCISES=$HOME/exercises",
                directory.display(),
                checkout.display()
            )
        })?;
        let text = fs::read_to_string(directory.join(PROGRESS));
        let progress = parse(&text.unwrap_or_default())?;
        let mine = Mine { directory: fs::canonicalize(directory)?, progress };
        for exercise in ALL {
            mine.make_copy(exercise)?;
        }
        let programs = ALL
            .iter()
            .map(|exercise| (exercise.name.to_owned(), file_of(exercise)));
        write_package(checkout, &mine.directory, programs)?;
        Ok(mine)
    }

    /// The package of all copies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The learner's copy.
    #[must_use]
    pub fn file(&self, exercise: &Exercise) -> PathBuf {
        self.directory.join(file_of(exercise))
    }

    fn make_copy(&self, exercise: &Exercise) -> Result<()> {
        let file = self.file(exercise);
        if file.exists() {
            return Ok(());
        }
        let of_then = exercise
            .formerly
            .iter()
            .map(|name| file_named(exercise.step, name));
        let of_then = of_then.map(|name| self.directory.join(name));
        fs::create_dir_all(file.parent().context("a parent")?)?;
        match of_then.into_iter().find(|file| file.exists()) {
            Some(old) => fs::rename(old, &file),
            None => fs::write(&file, exercise.start),
        }
        .with_context(|| format!("make {}", file.display()))
    }

    /// Puts the start back. What was there is kept beside it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn reset(&mut self, exercise: &Exercise) -> Result<PathBuf> {
        let file = self.file(exercise);
        let kept = file.with_extension("rs.before");
        fs::rename(&file, &kept)?;
        self.make_copy(exercise)?;
        self.set(exercise, Progress::default())?;
        Ok(kept)
    }

    /// How far an exercise is.
    #[must_use]
    pub fn progress(&self, exercise: &Exercise) -> Progress {
        let names = [exercise.name].into_iter();
        let mut names = names.chain(exercise.formerly.iter().copied());
        let known = names.find_map(|name| self.progress.get(name));
        known.cloned().unwrap_or_default()
    }

    /// Remembers at once how far it is.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set(&mut self, exercise: &Exercise, now: Progress) -> Result<()> {
        for name in exercise.formerly {
            self.progress.remove(*name);
        }
        self.progress.insert(exercise.name.to_owned(), now);
        let file = self.directory.join(PROGRESS);
        // Not half a file, even when the power fails.
        let new = file.with_extension("new");
        fs::write(&new, text(&self.progress))?;
        fs::rename(new, &file)
            .with_context(|| format!("write {}", file.display()))
    }

    /// The first one that is open, else the first that was skipped.
    #[must_use]
    pub fn next(&self) -> Option<&'static Exercise> {
        let first = |state| {
            ALL.iter().find(|it| self.progress(it).state == state).copied()
        };
        first(State::Open).or_else(|| first(State::Skipped))
    }
}

fn file_of(exercise: &Exercise) -> PathBuf {
    file_named(exercise.step, exercise.name)
}

fn file_named(step: &str, name: &str) -> PathBuf {
    Path::new(step).join(name).with_extension("rs")
}

const PROGRESS: &str = "progress.txt";

const HEAD: &str = "# Your progress: an exercise, what became of it, and how \
                    often you asked for\n# a hint and for the solution. You \
                    may edit this.\n";

fn text(progress: &BTreeMap<String, Progress>) -> String {
    let line = |(name, it): (&String, &Progress)| {
        let word = it.state.word();
        format!("{name} {word} {} {}\n", it.hints, it.solutions)
    };
    HEAD.to_owned() + &progress.iter().map(line).collect::<String>()
}

/// A line that is not ours is an error: dropping it would lose progress.
fn parse(text: &str) -> Result<BTreeMap<String, Progress>> {
    let mut progress = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (name, word) = (words.next(), words.next());
        let state = State::ALL.into_iter().find(|it| Some(it.word()) == word);
        let (Some(name), Some(state)) = (name, state) else {
            bail!(
                "{PROGRESS}: {line:?} is not a name and open, passed or skipped"
            );
        };
        let mut number = || words.next().and_then(|it| it.parse().ok());
        let it = Progress {
            state,
            hints: number().unwrap_or(0),
            solutions: number().unwrap_or(0),
        };
        progress.insert(name.to_owned(), it);
    }
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_what_was_written() {
        let some = Progress { state: State::Passed, hints: 2, solutions: 1 };
        let all = BTreeMap::from([("a-name".to_owned(), some)]);
        assert_eq!(parse(&text(&all)).expect("it parses"), all);
    }

    #[test]
    fn a_line_by_hand_may_be_short() {
        let all = parse("# a comment\n\n  chroot passed\n").expect("it parses");
        assert_eq!(all["chroot"].state, State::Passed);
    }

    #[test]
    fn a_line_that_is_wrong_is_told() {
        let error = parse("chroot solved\n").expect_err("no such word");
        assert!(error.to_string().contains("chroot solved"), "{error}");
    }

    #[test]
    fn progress_and_copy_survive_a_new_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let renamed = Exercise { formerly: &["old-name"], ..*ALL[0] };
        let mut mine = Mine {
            directory: directory.path().to_owned(),
            progress: parse("old-name passed 1 2\n").expect("it parses"),
        };
        let old = directory.path().join(file_named(renamed.step, "old-name"));
        fs::create_dir_all(old.parent().expect("a parent")).expect("make it");
        fs::write(&old, "// my work").expect("write");
        mine.make_copy(&renamed).expect("the copy");
        let text = fs::read_to_string(mine.file(&renamed)).expect("a file");
        assert_eq!(text, "// my work");
        let progress = mine.progress(&renamed);
        assert_eq!(progress.state, State::Passed);
        mine.set(&renamed, progress).expect("written");
        let text = fs::read_to_string(directory.path().join(PROGRESS));
        let text = text.expect("progress");
        assert!(text.contains(&format!("\n{} passed 1 2\n", renamed.name)));
        assert!(!text.contains("old-name"), "{text}");
    }
}
