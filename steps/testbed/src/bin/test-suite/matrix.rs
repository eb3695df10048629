//! The matrix of claims × environments, made from the records of all stages.

use std::collections::{BTreeMap, BTreeSet};

use testbed::record::MARK;

use crate::plan::CANARY;

/// What came of a claim in one environment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It was not judged; with the number of the reason.
    Skip(usize),
}

/// Which claim held, failed or was skipped where.
#[derive(Default)]
pub struct Matrix {
    environments: Vec<String>,
    claims: BTreeMap<(String, String), BTreeMap<usize, Verdict>>,
    reasons: Vec<String>,
    failures: Vec<String>,
}

impl Matrix {
    /// Reads the records in what was said. Everything else is passed over, and
    /// so is the canary, which is red when all is well.
    #[must_use]
    pub fn read(text: &str) -> Matrix {
        let mut matrix = Matrix::default();
        for line in text.lines().filter_map(|line| line.strip_prefix(MARK)) {
            let fields: Vec<_> = line.split('\t').skip(1).collect();
            match fields[..] {
                [_, _, CANARY, ..] => {}
                [environment, binary, claim, result, reason] => {
                    matrix.add(environment, binary, claim, result, reason);
                }
                _ => {}
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
    #[must_use]
    pub fn judged_nowhere(&self) -> BTreeSet<&(String, String)> {
        let judged = |row: &BTreeMap<_, _>| {
            row.values().any(|v| !matches!(v, Verdict::Skip(_)))
        };
        self.claims
            .iter()
            .filter(|(_, row)| !judged(row))
            .map(|(claim, _)| claim)
            .collect()
    }

    /// Whether a claim was skipped, somewhere, for a reason with these words.
    #[must_use]
    pub fn names(&self, claim: &(String, String), words: &str) -> bool {
        self.claims[claim].values().any(|verdict| match verdict {
            Verdict::Skip(reason) => self.reasons[reason - 1].contains(words),
            _ => false,
        })
    }

    /// How many claims hold in one environment.
    #[must_use]
    pub fn held_in(&self, environment: &str) -> usize {
        let column = self.environments.iter().position(|e| e == environment);
        let holds = |row: &&BTreeMap<_, _>| {
            column.and_then(|column| row.get(&column)) == Some(&Verdict::Pass)
        };
        self.claims.values().filter(holds).count()
    }

    /// How many cells have such a verdict.
    #[must_use]
    pub fn count(&self, wanted: fn(&Verdict) -> bool) -> usize {
        self.claims
            .values()
            .flat_map(BTreeMap::values)
            .filter(|v| wanted(v))
            .count()
    }

    /// Prints the table and, below it, the reasons and the failures.
    pub fn print(&self, colour: bool) {
        let paint = |code: &str, text: String| match colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text,
        };
        for (column, environment) in self.environments.iter().enumerate() {
            let gap = if column == 0 { "\n" } else { "" };
            println!(
                "{gap}{} {environment}",
                "     │".repeat(column) + "     ┌"
            );
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
    }
}

/// The position of a text in a list. The text is added if it is not there.
fn number(list: &mut Vec<String>, text: &str) -> usize {
    list.iter().position(|there| there == text).unwrap_or_else(|| {
        list.push(text.to_owned());
        list.len() - 1
    })
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
        let is_known =
            |claim: &str| matrix.names(&("b".into(), claim.into()), "the lab");
        assert!(is_known("systemd") && !is_known("root"));
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
