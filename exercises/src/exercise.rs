//! What an exercise is.

use anyhow::Result;

use crate::judge::{Errors, Failure, Judge, Told, judge};
use crate::need::Need;

/// An exercise: what is asked, what is given, and what looks at the answer.
#[derive(Debug)]
pub struct Exercise {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it was called before: progress and copies from then still count.
    pub formerly: &'static [&'static str],
    /// The directory of its lesson below `steps/`.
    pub step: &'static str,
    /// The task, in Markdown: title, level and minutes, goal, background.
    pub task: &'static str,
    /// What the learner begins with. It compiles, and fails.
    pub start: &'static str,
    /// One that passes.
    pub solution: &'static str,
    /// One after the other, for whoever asks.
    pub hints: &'static [&'static str],
    /// What a check of it needs.
    pub needs: &'static [Need],
    /// An error with which a program ends early, and the hint that fits it.
    pub errors: Errors,
    /// Plausible answers that fail, each with the hint that is meant for it.
    pub wrong: &'static [Wrong],
    /// Looks at the program, from outside.
    pub check: fn(&mut Judge) -> Result<String, Failure>,
}

impl Exercise {
    /// Its title: the task's first line.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.task.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// How much it asks. The task's third line begins with it.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        let line = self.task.lines().nth(2).unwrap_or_default();
        let levels = [Level::FillIn, Level::FindTheMistake, Level::BuildIt];
        levels.into_iter().find(|level| line.starts_with(level.words()))
    }

    /// Reads a program from stdin, judges it, and returns the verdict.
    ///
    /// # Errors
    /// When the judge itself can't work. That is no verdict.
    pub fn judge(&self) -> Result<Told> {
        judge(self.name, self.needs, self.errors, self.check)
    }

    /// How long it takes, in minutes. The task's third line says so.
    #[must_use]
    pub fn minutes(&self) -> Option<u32> {
        let line = self.task.lines().nth(2)?;
        line.split_once(" minutes")?.0.rsplit(' ').next()?.parse().ok()
    }
}

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One call is missing. The syntax is in the task.
    FillIn,
    /// It is all there, but something is wrong with it.
    FindTheMistake,
    /// The task says what, but not how.
    BuildIt,
}

impl Level {
    /// As tasks and lists show it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Level::FillIn => "Fill in",
            Level::FindTheMistake => "Find the mistake",
            Level::BuildIt => "Build it",
        }
    }
}

/// A plausible answer that fails.
#[derive(Debug)]
pub struct Wrong {
    /// What is wrong with it.
    pub name: &'static str,
    /// How it differs from the solution: this text is replaced by that.
    pub change: &'static [(&'static str, &'static str)],
    /// The hint that is meant for it.
    pub hint: &'static str,
}

impl Wrong {
    /// The whole program.
    ///
    /// # Panics
    /// When a text to be replaced is not in the solution exactly once.
    #[must_use]
    pub fn program(&self, exercise: &Exercise) -> String {
        let mut program = exercise.solution.to_owned();
        for (old, new) in self.change {
            let count = program.matches(old).count();
            assert_eq!(
                count, 1,
                "{}: {}: {old:?} is in the solution {count} times",
                exercise.name, self.name
            );
            program = program.replace(old, new);
        }
        program
    }
}
