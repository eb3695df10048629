#![forbid(unsafe_code)]
//! `scripts/test.sh`, once it has set up and built: format, lints, scripts,
//! units, and every claim about the containers in every environment that this
//! machine offers. Start reading at `suite`: it has the stages, in order.

mod environments;
mod judge;
mod machines;
mod matrix;
mod plan;
mod stage;

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use nix::unistd::geteuid;
use testbed::record::MARK;

use environments::Environments;
use judge::{Binary, Place};
use machines::{MACHINES, Machine, judge_inside};
use matrix::{Matrix, Verdict};
use stage::{Log, Outcome, Stages, output_of, own_words};

/// Test everything: the stages, and the matrix of claims
#[derive(Parser)]
#[command(bin_name = "scripts/test.sh")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all stages, or those that are chosen
    Suite(Choice),
    /// In the lab: judge the claims of these binaries
    Judge { lab: String, limit: u64, binaries: Vec<PathBuf> },
    /// In an environment: judge a claim that does not hold
    Canary { environment: String },
}

#[derive(Args)]
struct Choice {
    /// Only what is judged in the playground
    #[arg(long)]
    quick: bool,

    /// In the lab, also what takes long: all machines, and all claims there
    #[arg(long)]
    everything: bool,

    /// Only this stage, and those whose names begin with it and a dash
    #[arg(long = "stage", value_name = "STAGE")]
    stages: Vec<String>,

    /// Put the table of environments of this run into the README
    #[arg(long)]
    write_readme: bool,

    /// End any program of a stage that is silent for longer
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    limit: u64,

    /// Only test binaries whose names contain one of these
    names: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Task::Suite(choice) => suite(choice),
        Task::Judge { lab, limit, binaries } => {
            judge_inside(&lab, limit, binaries)
        }
        Task::Canary { environment } => return judge::canary(&environment),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("test: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a run is about.
struct Run {
    stages: Stages,
    choice: Choice,
    /// Cargo's directory.
    target: PathBuf,
    /// The programs that are tested: `WORKSHOP_BIN`.
    programs: PathBuf,
    binaries: Vec<Binary>,
}

fn suite(choice: Choice) -> Result<bool> {
    let begin = Instant::now();
    stage::end_all_with_us()?;
    let run = Run::prepare(choice)?;
    run.exercises();
    // This host and the playground, which is a host of its own, are judged at
    // the same time: each mostly waits. The lab takes whatever processor time
    // they leave.
    thread::scope(|scope| {
        scope.spawn(|| run.in_the_lab());
        scope.spawn(|| {
            run.sources();
            // Some claims are about the deck, which is built here.
            run.what_is_shown();
            run.on_this_host();
        });
        scope.spawn(|| {
            run.in_the_playground();
            run.demos_in_the_playground();
        });
        scope.spawn(|| run.as_others());
    });
    run.close(begin)
}

const AS_LEARNER: &[&str] = &["./scripts/as-learner.sh", "--"];
const WITH_ONE_ID: &[&str] = &["./scripts/as-learner.sh", "--no-subuid", "--"];
/// How many hosts of one kind share the claims, with `--quick`.
const PARTS: usize = 3;
const PLAYGROUND: &str = "./scripts/playground.sh";

impl Run {
    fn prepare(choice: Choice) -> Result<Run> {
        let programs = std::env::var_os("WORKSHOP_BIN").map(PathBuf::from);
        let programs =
            programs.context("WORKSHOP_BIN: start scripts/test.sh")?;
        let target = programs.parent().context("WORKSHOP_BIN: in target")?;
        let limit = Duration::from_secs(choice.limit);
        let logs = target.join("test-logs");
        Ok(Run {
            stages: Stages::new(logs, choice.stages.clone(), limit)?,
            binaries: test_binaries(&choice.names)?,
            choice,
            target: target.to_owned(),
            programs,
        })
    }

    fn program(&self, name: &str) -> String {
        self.programs.join(name).display().to_string()
    }

    /// A stage that is left out of a run for some test binaries only.
    fn whole(&self, name: &str, words: &[&str]) {
        if self.choice.names.is_empty() && self.stages.wants(name) {
            self.stages.program(name, words);
        }
    }

    /// Compiles all programs of all exercises, once for all environments.
    fn exercises(&self) {
        if self.stages.judges()
            && self.binaries.iter().any(|binary| binary.name == "exercises")
        {
            let directory = self.target.join("exercises").display().to_string();
            let exercise = self.program("exercise");
            let words = [exercise.as_str(), "compile", &directory];
            self.stages.program("build-exercises", &words);
        }
    }

    fn sources(&self) {
        // Exercises and their solutions do not belong to a crate.
        let format = "cargo fmt --all --check
            git ls-files -z 'exercises/*/start.rs' 'exercises/*/solution.rs' \
                'exercises/tests/hostile/*.rs' |
                xargs -0 --no-run-if-empty rustfmt --check --edition 2024";
        self.whole("format", &shell(format));
        let clippy = "cargo clippy --workspace --all-targets --quiet \
            --all-features -- -D warnings";
        self.whole("clippy", &shell(clippy));
        let shellcheck =
            "git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -x";
        self.whole("shellcheck", &shell(shellcheck));
        let units = "cargo test --workspace --quiet --lib --bins";
        self.whole("units", &shell(units));
        // Warnings count: a link to something that is gone causes one.
        let documentation = "export RUSTDOCFLAGS='-D warnings'
            cargo doc --workspace --no-deps --quiet";
        self.whole("documentation", &shell(documentation));
        self.oldest_rust();
    }

    /// Without it, a person's run goes on; not a server's.
    fn oldest_rust(&self) {
        let name = "oldest-rust";
        if !self.choice.names.is_empty() || !self.stages.wants(name) {
            return;
        }
        self.stages.stage(name, |log| {
            let mut check = Command::new("./scripts/lib/oldest-rust.sh");
            let status = log.run(name, &mut check, self.stages.limit())?;
            match status.and_then(|it| it.code()) {
                Some(CAN_NOT) => Ok(can_do_without(log)),
                code => Ok(code == Some(0)),
            }
        });
    }

    fn on_this_host(&self) {
        if !self.choice.quick {
            self.judge(plan::at_home(), &[]);
        }
    }

    /// Where root may be anybody; `in_the_playground` has the rest, so that
    /// both end at about the same time.
    fn as_others(&self) {
        if is_root() && !self.choice.quick {
            self.judge("host-one-id", WITH_ONE_ID);
            self.judge("host-learner", AS_LEARNER);
            self.playground("learner", (0, 1));
        }
    }

    /// Each has a host of its own. With `--quick` nothing else runs, so all run
    /// at once, several of each kind: claims mostly wait, and whoever waits for
    /// an answer gets it sooner.
    fn in_the_playground(&self) {
        let user = if is_root() { "root" } else { "learner" };
        if !self.choice.quick {
            self.playground(user, (0, 1));
            if is_root() {
                self.playground("one-id", (0, 1));
            }
            return;
        }
        let all: &[&str] = match is_root() {
            true => &["root", "one-id", "learner"],
            false => &["learner"],
        };
        thread::scope(|scope| {
            for who in all {
                for nth in 0..PARTS {
                    scope.spawn(move || self.playground(who, (nth, PARTS)));
                }
            }
        });
    }

    fn playground(&self, who: &str, part: (usize, usize)) {
        let before: &[&str] = match who {
            "one-id" => WITH_ONE_ID,
            "learner" if is_root() => AS_LEARNER,
            _ => &[],
        };
        let prefix = [before, &[PLAYGROUND, "--"]].concat();
        self.judge_part(&format!("playground-{who}"), &prefix, part);
    }

    fn judge(&self, environment: &str, prefix: &[&str]) {
        self.judge_part(environment, prefix, (0, 1));
    }

    /// Some of the claims, where several hosts of the same kind share them.
    fn judge_part(
        &self,
        environment: &str,
        prefix: &[&str],
        part: (usize, usize),
    ) {
        if !self.stages.wants(environment) {
            return;
        }
        let limit = self.stages.limit();
        let place = Place { environment, prefix, limit, part };
        let binaries: Vec<_> = self.binaries.iter().collect();
        let name = match part {
            (_, 1) => environment.to_owned(),
            (nth, _) => format!("{environment}-{}", nth + 1),
        };
        self.stages.stage(&name, |log| place.judge(log, &binaries));
    }

    fn what_is_shown(&self) {
        self.whole("demo-language", &["./scripts/lib/demo-test.sh"]);
        self.whole("demos-real", &["./scripts/lib/demo-real-test.sh"]);
        self.whole(
            "slides",
            &["npm", "--prefix", "slides", "--silent", "test"],
        );
    }

    /// Each demo is played twice: here, where each line must show what the
    /// casts show, and by an ordinary user, as on most laptops.
    fn demos_in_the_playground(&self) {
        self.whole("recordings", &["./scripts/record.sh", "--check"]);
        if is_root() {
            let demos = ["./scripts/demo.sh", "--auto"];
            self.whole("demos", &[AS_LEARNER, &demos].concat());
        }
    }

    /// Prints the matrix, the names of what failed, and the count.
    fn close(self, begin: Instant) -> Result<bool> {
        let Run { stages, choice, .. } = self;
        let whole = !choice.quick
            && choice.names.is_empty()
            && choice.stages.is_empty();
        let outcomes = stages.outcomes();
        ensure!(!outcomes.is_empty(), "there is no stage of that name");
        let said: Vec<_> = outcomes.iter().map(|s| s.text.as_str()).collect();
        let said = said.join("\n");
        let ran = |machine: &Machine| {
            outcomes.iter().any(|stage| stage.name == machine.name)
        };
        let lab = MACHINES.iter().any(ran);
        // A machine that was not judged whole has its rows in the README from
        // another run.
        let stays = |environment: &str| {
            let is_of = |machine: &&Machine| {
                environment.starts_with(&format!("{}-", machine.name))
            };
            MACHINES.iter().find(is_of).is_some_and(|machine| {
                let all = machine.always.is_none() || choice.everything;
                !(all && ran(machine))
            })
        };
        let matrix = Matrix::read(&said);
        matrix.print(std::io::stdout().is_terminal());
        // Once more: the matrix, which names the claims that failed, is long,
        // and whoever reads a log begins at its end.
        let not_in_it = |s: &&Outcome| !s.good && !s.text.contains(MARK);
        for stage in outcomes.iter().filter(not_in_it) {
            print!("{} FAILED\n{}", stage.name, own_words(&stage.text));
        }

        let red = outcomes.iter().filter(|s| !s.good).map(|s| s.name.as_str());
        let mut red: Vec<_> = red.collect();
        let mut problems = matrix.count(|verdict| *verdict == Verdict::Fail);
        if problems > 0 {
            red.push("matrix");
        }
        // Engines take root of a host: the lab has none.
        let excused = |claim: &&_| {
            !lab && matrix.names(claim, "the lab")
                || !choice.everything && matrix.names(claim, "--everything")
                || !is_root() && matrix.names(claim, "engines.sh")
        };
        let nowhere = matrix.judged_nowhere();
        let nowhere = nowhere.into_iter().filter(|it| whole && !excused(it));
        let nowhere: Vec<_> = nowhere.collect();
        for (binary, claim) in &nowhere {
            println!("{binary}: {claim}: judged in no environment");
        }
        if !nowhere.is_empty() {
            red.push("judged-nowhere");
        }
        // Only a run that saw all environments can judge their table.
        let stale = match whole && is_root() {
            true => settle_readme(&matrix, &said, stays, choice.write_readme)?,
            false => 0,
        };
        if stale > 0 {
            red.push("README");
        }
        problems += nowhere.len() + stale;
        let others: Vec<_> = outcomes.iter().map(counted).collect();
        let passed = matrix.count(|verdict| *verdict == Verdict::Pass);
        let passed =
            passed + others.iter().map(|(good, _)| good).sum::<usize>();
        problems += others.iter().map(|(_, bad)| bad).sum::<usize>();
        let failed = problems.max(red.len());
        let skipped = matrix.count(|v| matches!(v, Verdict::Skip(_)));

        print!("\n{} s in all", begin.elapsed().as_secs());
        if whole && !lab {
            print!("; nothing was judged in the lab");
        }
        if !red.is_empty() {
            print!("; failed: {}", red.join(" "));
        }
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
        Ok(red.is_empty())
    }
}

/// What counts besides the matrix: `test result: ok. N passed; N failed` from
/// the units, `N passed, N failed` from the demo language, `# pass N` and `#
/// fail N` from the slides.
fn counted(stage: &Outcome) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    if !["units", "demo-language", "demos-real", "slides"]
        .contains(&stage.name.as_str())
    {
        return (0, 0);
    }
    for line in stage.text.lines() {
        let words: Vec<_> =
            line.split([' ', ';', ',']).filter(|w| !w.is_empty()).collect();
        let number = |word: &str| {
            let place = words.iter().position(|w| *w == word);
            let before =
                place.and_then(|place| words.get(place.wrapping_sub(1)));
            before.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        match words[..] {
            ["#", "pass", n] => passed += n.parse().unwrap_or(0),
            ["#", "fail", n] => failed += n.parse().unwrap_or(0),
            ["test", "result:", ..] | [_, "passed", _, "failed"] => {
                passed += number("passed");
                failed += number("failed");
            }
            _ => {}
        }
    }
    (passed, failed)
}

fn is_root() -> bool {
    geteuid().is_root()
}

/// The words that run these lines, all of which must succeed.
fn shell(lines: &str) -> Vec<&str> {
    vec!["bash", "-e", "-o", "pipefail", "-c", lines]
}

/// Compiles the test binaries that judge containers: those of `tests/`.
const TEST_BINARIES: [&str; 8] = [
    "cargo",
    "test",
    "--workspace",
    "--test",
    "*",
    "--no-run",
    "--quiet",
    "--message-format=json",
];

fn test_binaries(names: &[String]) -> Result<Vec<Binary>> {
    let mut binaries = binaries_in(&output_of(&TEST_BINARIES)?)?;
    let wanted = |binary: &Binary| {
        names.is_empty()
            || names.iter().any(|n| binary.name.contains(n.as_str()))
    };
    binaries.retain(wanted);
    ensure!(!binaries.is_empty(), "no test binary is named {names:?}");
    Ok(binaries)
}

/// The test binaries that cargo's messages, a line each, tell of.
fn binaries_in(said: &[u8]) -> Result<Vec<Binary>> {
    let mut binaries = Vec::new();
    let is_message = |line: &&[u8]| line.first() == Some(&b'{');
    for line in said.split(|byte| *byte == b'\n').filter(is_message) {
        let message: serde_json::Value =
            serde_json::from_slice(line).context("what cargo says")?;
        let is_test = message["target"]["kind"][0] == "test";
        if let Some(path) = message["executable"].as_str().filter(|_| is_test) {
            binaries.push(Binary::at(path.into()));
        }
    }
    binaries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(binaries)
}

/// The exit status of a script that lacks what it needs.
const CAN_NOT: i32 = 125;

/// A person's run goes on, and says what it goes without.
fn can_do_without(log: &Log) -> bool {
    let text = log.text();
    let why = text.lines().filter(|line| {
        let them = ["lab:", "debian-root:", "oldest-rust:"];
        them.iter().any(|it| line.starts_with(it))
    });
    why.for_each(|line| println!("    SKIP  {line}"));
    std::env::var_os("CI").is_none()
}

/// Compares the README's table with the run, or puts the run into it. Returns
/// how many lines differ.
fn settle_readme(
    matrix: &Matrix,
    said: &str,
    stays: impl Fn(&str) -> bool,
    write: bool,
) -> Result<usize> {
    let environments = Environments::read(said);
    let held = |environment: &str| matrix.held_in(environment);
    let page = Path::new("README.md");
    let text = fs::read_to_string(page).context("read README.md")?;
    if write {
        let text = environments.put_into(&text, stays, held)?;
        fs::write(page, text).context("write README.md")?;
        return Ok(0);
    }
    let broken = environments.broken_promises(&text, stays, held)?;
    for promise in &broken {
        println!("README: {promise} (--write-readme corrects it)");
    }
    Ok(broken.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_count_is_counted() {
        let of = |name: &str, text: &str| {
            let (name, text) = (name.to_owned(), text.to_owned());
            counted(&Outcome { name, good: true, text })
        };
        let units = "test result: FAILED. 3 passed; 1 failed; 0 ignored\n\
            test result: ok. 4 passed; 0 failed; 2 ignored\n";
        assert_eq!(of("units", units), (7, 1));
        assert_eq!(
            of("demo-language", "ok  a\n44 passed, 2 failed\n"),
            (44, 2)
        );
        assert_eq!(of("slides", "# pass 46\n# fail 1\n# cancelled 0"), (46, 1));
        assert_eq!(of("host-root", units), (0, 0));
    }
}
