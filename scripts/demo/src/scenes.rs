//! What a script describes, in the words of scripts/lib/demo.sh.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

pub struct Demo {
    pub script: PathBuf,
    /// The script's, without directory and ending: `02-uts-namespace`.
    pub name: String,
    pub title: String,
    pub scenes: Vec<Scene>,
    /// What it changes on a real host, and the command that undoes it.
    pub changes: Vec<(String, String)>,
}

pub struct Scene {
    pub title: String,
    /// How many seconds it should take.
    pub plan: u64,
    pub lines: Vec<Line>,
}

/// `run`, say, and what comes after it.
pub struct Line {
    pub word: String,
    pub text: String,
    /// What a refusal says.
    pub detail: String,
    /// Of its output and end: `text`, `absent` or `status`, and which.
    pub expected: Vec<(String, String)>,
}

impl Demo {
    /// Asks the script: what it says depends on the host.
    pub fn of(script: &Path) -> Result<Demo> {
        let asked = Command::new(script)
            .arg("--words")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("start {}", script.display()))?;
        ensure!(asked.status.success(), "{} fails", script.display());
        let name = script.file_stem().context("a script has a name")?;
        let mut demo = Demo {
            script: script.to_owned(),
            name: name.to_string_lossy().into(),
            title: String::new(),
            scenes: Vec::new(),
            changes: Vec::new(),
        };
        let words = String::from_utf8(asked.stdout)?;
        let words: Vec<_> = words.split_terminator('\0').collect();
        for word in words.chunks_exact(3) {
            let added = demo.add(word[0], word[1].into(), word[2].into());
            added.with_context(|| word.join(" "))?;
        }
        Ok(demo)
    }

    fn add(&mut self, word: &str, text: String, detail: String) -> Result<()> {
        let scene = self.scenes.last_mut();
        let lines = scene.map(|scene| &mut scene.lines);
        match word {
            "demo" => self.title = text,
            "cleanup" => self.changes.push((text, detail)),
            "scene" => {
                let plan = detail.split_once(':').context("not M:SS")?;
                let plan =
                    plan.0.parse::<u64>()? * 60 + plan.1.parse::<u64>()?;
                self.scenes.push(Scene { title: text, plan, lines: vec![] });
            }
            "expect" => {
                let last = lines.and_then(|lines| lines.last_mut());
                let last = last.context("it follows no command")?;
                last.expected.push((text, detail));
            }
            _ => lines.context("it is in no scene")?.push(Line {
                word: word.to_owned(),
                text,
                detail,
                expected: vec![],
            }),
        }
        Ok(())
    }

    /// The plan for all scenes before this one.
    pub fn planned_before(&self, scene: usize) -> u64 {
        self.scenes[..scene].iter().map(|scene| scene.plan).sum()
    }
}
