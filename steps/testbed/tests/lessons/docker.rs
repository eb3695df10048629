//! The table beside docker: its flags are those of the steps, from the step on
//! that it says. What docker does by its own can't be judged offline; its flags
//! are those of its manual, and of `docker run --help` where there is one.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use regex_lite::{Captures, Regex};
use testbed::{binary, checkout};

use crate::page::Page;

/// Those of docker-run(1) that the table speaks of.
const DOCKERS: [&str; 19] = [
    "--cap-add",
    "--cap-drop",
    "--cpus",
    "--device",
    "--env",
    "--hostname",
    "--init",
    "--ipc",
    "--memory",
    "--network",
    "--pid",
    "--pids-limit",
    "--publish",
    "--read-only",
    "--security-opt",
    "--stop-signal",
    "--user",
    "--volume",
    "--workdir",
];

/// Of the steps alone: what they tell, and how.
const OURS: [&str; 5] = ["--all", "--help", "--pause", "--quiet", "--version"];

pub fn the_table_beside_docker_is_true() {
    let page = Page::read(&checkout(), "README.md").text;
    let (_, table) = page.split_once("\n## Beside docker\n").expect("a table");
    let (table, _) = table.split_once("\n## ").expect("its end");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    let mut told = BTreeSet::new();
    for row in rows.skip(1) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [step, here, docker, kernel, ..] = cells[..] else {
            panic!("a row of four cells: {row}");
        };
        for (flag, values) in flags(here) {
            let option = appears_in(step, &flag);
            assert!(
                values.iter().all(|it| option.value.contains(it)),
                "{flag} {values:?}: step {step} has {}",
                option.value
            );
            let same = docker.starts_with("the same");
            let is_dockers = DOCKERS.contains(&&*option.long);
            assert_eq!(same, is_dockers, "beside {flag}: {docker}");
            told.insert(option.long);
        }
        for (flag, _) in flags(docker) {
            assert!(DOCKERS.contains(&&*flag), "docker has no {flag}");
        }
        if !step.is_empty() {
            is_taught(step, kernel);
        }
    }
    let all = ["09", "10"].into_iter().flat_map(options).map(|it| it.long);
    let all = all.filter(|it| !OURS.contains(&&**it)).collect();
    assert_eq!(told, all, "those in the table, and those of the last steps");
    ask_docker();
}

/// Each flag of a cell, and what may stand behind it: `--flag A`, `B`.
fn flags(cell: &str) -> Vec<(String, Vec<&str>)> {
    let mut flags: Vec<(String, Vec<&str>)> = Vec::new();
    for code in cell.split('`').skip(1).step_by(2) {
        let mut words = code.split(' ');
        if code.starts_with('-') {
            let flag = words.next().expect("a word").to_owned();
            flags.push((flag, words.collect()));
        } else if let Some((_, values)) = flags.last_mut() {
            values.push(code);
        }
    }
    flags
}

struct Opt {
    short: Option<String>,
    long: String,
    value: String,
}

/// What `--help` tells of a step's options.
fn options(step: &str) -> Vec<Opt> {
    let help = Command::new(binary(&name(step))).arg("--help").output();
    let help = help.expect("start the step").stdout;
    let line = Regex::new(r"(?m)^ +(-\w)?,? *(--[a-z-]+)(?: <(.*)>)?");
    let text = String::from_utf8_lossy(&help).into_owned();
    let found = |it: Captures| Opt {
        short: it.get(1).map(|it| it.as_str().to_owned()),
        long: it[2].to_owned(),
        value: it.get(3).map_or("", |it| it.as_str()).to_owned(),
    };
    line.expect("a regex").captures_iter(&text).map(found).collect()
}

/// Its directory and its program have one name.
fn name(step: &str) -> String {
    let steps = fs::read_dir(checkout().join("steps")).expect("the steps");
    let names = steps.flatten().map(|it| it.file_name().into_string());
    let mut names = names.flatten();
    let found = names.find(|it| it.starts_with(&format!("{step}-")));
    found.unwrap_or_else(|| panic!("there is no step {step:?}"))
}

/// The step has this option, and the one before it has not.
fn appears_in(step: &str, flag: &str) -> Opt {
    let is = |it: &Opt| it.long == flag || it.short.as_deref() == Some(flag);
    let number: u32 = step.parse().expect("a step");
    if number > 1 {
        let before = options(&format!("{:02}", number - 1));
        assert!(!before.iter().any(is), "{flag} is older than step {step}");
    }
    let found = options(step).into_iter().find(is);
    found.unwrap_or_else(|| panic!("step {step} has no {flag}"))
}

/// The lesson speaks of what the kernel's column names.
fn is_taught(step: &str, kernel: &str) {
    let lesson = format!("steps/{}/README.md", name(step));
    let lesson = Page::read(&checkout(), &lesson).text;
    for word in kernel.split([' ', ',', '`', ':']).filter(|it| !it.is_empty()) {
        let word = word.split('(').next().unwrap_or(word);
        let word = word.rsplit('/').next().unwrap_or(word);
        assert!(lesson.contains(word), "lesson {step} has no {word}");
    }
}

/// Where there is a docker, its own help is asked.
fn ask_docker() {
    let help = Command::new("docker").args(["run", "--help"]).output();
    let help = help.map(|it| it.stdout).unwrap_or_default();
    let help = String::from_utf8_lossy(&help);
    let lacks = DOCKERS.iter().filter(|it| !help.contains(**it));
    let lacks: Vec<_> = lacks.collect();
    assert!(help.is_empty() || lacks.is_empty(), "docker lacks {lacks:?}");
}
