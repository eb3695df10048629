#![forbid(unsafe_code)]
//! Reads the output of test binaries from stdin and prints the matrix of
//! claims × environments. Fails when a claim failed, or was judged nowhere.
//! The latter is only said with `--partial`, for a run without all
//! environments, and with `--without-lab` of those that name the lab.
//!
//! `--readme FILE` compares the environments with the table in that file, and
//! fails where it promises more than was seen. `LESSONS=overwrite` writes it.

mod environments;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use environments::Environments;

use testbed::record::MARK;

/// What came of a claim in one environment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    /// With the number of its reason.
    Skip(usize),
}

#[derive(Default)]
struct Matrix {
    environments: Vec<String>,
    claims: BTreeMap<(String, String), BTreeMap<usize, Verdict>>,
    reasons: Vec<String>,
    failures: Vec<String>,
}

impl Matrix {
    fn read(text: &str) -> Matrix {
        let mut matrix = Matrix::default();
        for line in text.lines().filter_map(|line| line.strip_prefix(MARK)) {
            let fields: Vec<_> = line.split('\t').skip(1).collect();
            if let [environment, binary, claim, result, reason] = fields[..] {
                matrix.add(environment, binary, claim, result, reason);
            }
        }
        matrix
    }

    fn add(
        &mut self,
        environment: &str,
        binary: &str,
        claim: &str,
        result: &str,
        reason: &str,
    ) {
        let column = number(&mut self.environments, environment);
        let verdict = match result {
            "pass" => Verdict::Pass,
            "skip" => Verdict::Skip(number(&mut self.reasons, reason) + 1),
            _ => {
                self.failures.push(format!(
                    "{environment}: {binary}: {claim}: {reason}"
                ));
                Verdict::Fail
            }
        };
        let row = self
            .claims
            .entry((binary.to_owned(), claim.to_owned()))
            .or_default();
        row.insert(column, verdict);
    }

    /// Claims that no environment could judge.
    fn judged_nowhere(&self) -> BTreeSet<&(String, String)> {
        let judged = |row: &BTreeMap<_, _>| {
            row.values().any(|v| !matches!(v, Verdict::Skip(_)))
        };
        self.claims
            .iter()
            .filter(|(_, row)| !judged(row))
            .map(|(claim, _)| claim)
            .collect()
    }

    /// Whether one of the reasons for which a claim was skipped is the lab.
    fn names_the_lab(&self, claim: &(String, String)) -> bool {
        self.claims[claim].values().any(|verdict| match verdict {
            Verdict::Skip(reason) => {
                self.reasons[reason - 1].contains("the lab")
            }
            _ => false,
        })
    }

    /// How many claims hold in one environment.
    fn held_in(&self, environment: &str) -> usize {
        let column = self.environments.iter().position(|e| e == environment);
        let holds = |row: &&BTreeMap<_, _>| {
            column.and_then(|column| row.get(&column)) == Some(&Verdict::Pass)
        };
        self.claims.values().filter(holds).count()
    }

    fn count(&self, wanted: fn(&Verdict) -> bool) -> usize {
        self.claims
            .values()
            .flat_map(BTreeMap::values)
            .filter(|v| wanted(v))
            .count()
    }

    fn print(&self, colour: bool) {
        let paint = |code: &str, text: String| match colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text,
        };
        for (column, environment) in self.environments.iter().enumerate() {
            println!("{} {environment}", "     │".repeat(column) + "     ┌");
        }
        let mut last = "";
        for ((binary, claim), row) in &self.claims {
            if binary != last {
                println!("{}", paint("1", binary.clone()));
                last = binary;
            }
            let cells = (0..self.environments.len()).map(|column| {
                match row.get(&column) {
                    Some(Verdict::Pass) => paint("32", "  pass".into()),
                    Some(Verdict::Fail) => paint("31", "  FAIL".into()),
                    Some(Verdict::Skip(reason)) => {
                        paint("33", format!("{:>6}", format!("s{reason}")))
                    }
                    None => "      ".into(),
                }
            });
            println!("{}  {claim}", cells.collect::<String>());
        }
        for (number, reason) in self.reasons.iter().enumerate() {
            println!("s{}: skipped: {reason}", number + 1);
        }
        for failure in &self.failures {
            println!("{}", paint("31", format!("FAIL  {failure}")));
        }
        for (binary, claim) in self.judged_nowhere() {
            let text = format!("{binary}: {claim}: judged in no environment");
            println!("{}", paint("31", text));
        }
    }
}

/// The place of a text in a list, which grows if it is not there.
fn number(list: &mut Vec<String>, text: &str) -> usize {
    list.iter().position(|there| there == text).unwrap_or_else(|| {
        list.push(text.to_owned());
        list.len() - 1
    })
}

/// Test the workshop's claims: the matrix
#[derive(Parser)]
struct Cli {
    /// Not all environments are there
    #[arg(long)]
    partial: bool,

    /// The lab is not there
    #[arg(long)]
    without_lab: bool,

    /// The page with the table of environments
    #[arg(long)]
    readme: Option<PathBuf>,
}

fn main() -> ExitCode {
    match judge(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("test-matrix: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn judge(cli: &Cli) -> Result<bool> {
    let text = io::read_to_string(io::stdin()).context("read stdin")?;
    let matrix = Matrix::read(&text);
    matrix.print(io::stdout().is_terminal());
    let excused =
        |claim| cli.partial || cli.without_lab && matrix.names_the_lab(claim);
    let unjudged = matrix.judged_nowhere().into_iter();
    let unjudged = unjudged.filter(|claim| !excused(claim)).count();
    let broken = match &cli.readme {
        Some(page) => settle(cli, page, &matrix, &Environments::read(&text))?,
        None => vec![],
    };
    for promise in &broken {
        println!("README: {promise} (LESSONS=overwrite puts it right)");
    }
    let failed =
        matrix.count(|v| *v == Verdict::Fail) + unjudged + broken.len();
    let passed = matrix.count(|v| *v == Verdict::Pass);
    let skipped = matrix.count(|v| matches!(v, Verdict::Skip(_)));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0 && passed > 0)
}

/// Compares the page with the run, or puts the run into it.
fn settle(
    cli: &Cli,
    page: &Path,
    matrix: &Matrix,
    environments: &Environments,
) -> Result<Vec<String>> {
    let name = page.display();
    let held = |environment: &str| matrix.held_in(environment);
    let text =
        fs::read_to_string(page).with_context(|| format!("read {name}"))?;
    if std::env::var_os("LESSONS").is_some_and(|value| value == "overwrite") {
        let text = environments.put_into(&text, cli.without_lab, held)?;
        fs::write(page, text).with_context(|| format!("write {name}"))?;
        return Ok(vec![]);
    }
    environments.broken_promises(&text, cli.without_lab, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(lines: &[&str]) -> Matrix {
        Matrix::read(&lines.join("\n").replace('|', "\t"))
    }

    #[test]
    fn a_claim_that_is_judged_nowhere_is_found() {
        let lines = [
            "#record|host|b|seen|skip|needs root",
            "#record|host|b|never|skip|needs root",
        ];
        let elsewhere = "#record|playground|b|seen|pass|";
        let matrix = matrix(&[lines[0], lines[1], elsewhere]);
        let nowhere: Vec<_> =
            matrix.judged_nowhere().into_iter().map(|c| c.1.as_str()).collect();
        assert_eq!(nowhere, ["never"]);
        assert_eq!(matrix.reasons, ["needs root"]);
    }

    #[test]
    fn what_only_the_lab_can_judge_is_known() {
        let lines = [
            "#record|host|b|systemd|skip|needs cgroup v2, as the lab has it",
            "#record|host|b|root|skip|needs root",
        ];
        let matrix = matrix(&lines);
        assert!(matrix.names_the_lab(&("b".into(), "systemd".into())));
        assert!(!matrix.names_the_lab(&("b".into(), "root".into())));
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        let matrix = matrix(&[
            "test a ... ok",
            "#record|host|b|a|pass|",
            "noise #record|x",
        ]);
        assert_eq!(matrix.count(|v| *v == Verdict::Pass), 1);
    }

    #[test]
    fn a_failure_counts_though_it_passes_elsewhere() {
        let matrix = matrix(&[
            "#record|host|b|a|fail|because",
            "#record|play|b|a|pass|",
        ]);
        assert_eq!(matrix.failures, ["host: b: a: because"]);
        assert!(matrix.judged_nowhere().is_empty());
    }
}
