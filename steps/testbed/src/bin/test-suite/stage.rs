//! A stage: a line with its name, its verdict, its time and what it waited for;
//! if it fails, its own words.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, SysconfVar, sysconf};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use testbed::Moving;
use testbed::record::MARK;

use crate::plan::CANARY;

/// What makes programs write in colour to a file, or not. `CI` is one such
/// variable.
const COLOUR: [&str; 5] =
    ["CI", "CLICOLOR_FORCE", "FORCE_COLOR", "NO_COLOR", "CARGO_TERM_COLOR"];

/// Where the output of a stage goes, and how long it took.
pub struct Log {
    file: File,
    path: PathBuf,
    /// Processor time of everything that ran in it.
    cpu: Duration,
    /// What took how long. The report has the longest first.
    parts: Vec<(String, Duration)>,
    aloud: bool,
}

impl Log {
    /// An empty log.
    ///
    /// # Errors
    /// If the file can't be made, or already exists.
    pub fn create(path: PathBuf) -> Result<Log> {
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("make {}", path.display()))?;
        let (cpu, parts) = (Duration::ZERO, vec![]);
        Ok(Log { file, path, cpu, parts, aloud: false })
    }

    /// Writes what it gets to stdout, too.
    #[must_use]
    pub fn aloud(self) -> Log {
        Log { aloud: true, ..self }
    }

    /// Runs a program to its end, with its output in this log. `None`: it was
    /// ended because it was silent for `limit`, or took six times as long: a
    /// busy machine is slow, but it goes on.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn run(
        &mut self,
        part: &str,
        command: &mut Command,
        limit: Duration,
    ) -> Result<Option<ExitStatus>> {
        let (begin, before) = (Instant::now(), self.text().len());
        command.stdin(Stdio::null());
        // Other programs read this output, so it must be the same for
        // everybody.
        for name in COLOUR {
            command.env_remove(name);
        }
        command.stdout(self.file.try_clone()?).stderr(self.file.try_clone()?);
        let program = command.get_program().to_string_lossy().into_owned();
        let log = &self.file;
        let said = || log.metadata().map_or(0, |log| log.len());
        let (status, cpu) = run_in_a_group(command, limit, said)
            .with_context(|| format!("start {program}"))?;
        self.cpu += cpu;
        self.parts.push((part.to_owned(), begin.elapsed()));
        if self.aloud {
            println!("{}", self.text().split_off(before));
        }
        if status.is_none() {
            self.tell(&format!("{part}: ended; {}", too_long(limit)))?;
        }
        Ok(status)
    }

    /// Adds a line of our own, which starts on a new line.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        if self.aloud {
            println!("{line}");
        }
        writeln!(self.file, "\n{line}").context("write the log of a stage")
    }

    /// What has been said so far.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a stage came to.
pub struct Outcome {
    /// Its name, as it is reported at the end.
    pub name: String,
    /// Whether all of it is as it should be.
    pub good: bool,
    /// All that it said.
    pub text: String,
}

/// The stages that have not ended, and when each began.
type Running = Arc<Mutex<Vec<(String, Instant)>>>;

/// `clippy 12 s, host-root 3 s`
fn what_runs(running: &Running) -> String {
    let running = running.lock().expect("no panic with it");
    let told = running
        .iter()
        .map(|(name, begin)| format!("{name} {} s", begin.elapsed().as_secs()));
    told.collect::<Vec<_>>().join(", ")
}

/// The stages of a run. They can run at the same time.
pub struct Stages {
    logs: PathBuf,
    limit: Duration,
    only: Vec<String>,
    outcomes: Mutex<Vec<Outcome>>,
    running: Running,
    moving: Moving,
}

impl Stages {
    /// Logs go to an empty directory. If stages are named, the others are left
    /// out. No program may take longer than `limit`.
    ///
    /// # Errors
    /// If the directory can't be made.
    pub fn new(
        logs: PathBuf,
        only: Vec<String>,
        limit: Duration,
    ) -> Result<Stages> {
        if logs.exists() {
            fs::remove_dir_all(&logs)
                .with_context(|| format!("remove {}", logs.display()))?;
        }
        fs::create_dir_all(&logs)
            .with_context(|| format!("make {}", logs.display()))?;
        let running = Running::default();
        let same = Arc::clone(&running);
        let moving = Moving::begin(move || what_runs(&same));
        Ok(Stages {
            logs,
            limit,
            only,
            outcomes: Mutex::default(),
            running,
            moving,
        })
    }

    /// Whether this stage is asked for.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let fits = |asked: &String| {
            name == asked
                || name
                    .strip_prefix(asked.as_str())
                    .is_some_and(|rest| rest.starts_with('-'))
        };
        self.only.is_empty() || self.only.iter().any(fits)
    }

    /// Whether claims are judged in any environment.
    #[must_use]
    pub fn judges(&self) -> bool {
        let places = ["host", "playground", "lab"];
        let is_place = |s: &String| places.iter().any(|p| s.starts_with(p));
        self.only.is_empty() || self.only.iter().any(is_place)
    }

    /// How long one program may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// A stage that is one program.
    pub fn program(&self, name: &str, words: &[&str]) {
        self.stage(name, |log| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            let status = log.run(words[0], &mut command, self.limit)?;
            Ok(status.is_some_and(|status| status.success()))
        });
    }

    /// Runs a stage. One that can't be judged has failed.
    pub fn stage(
        &self,
        name: &str,
        judge: impl FnOnce(&mut Log) -> Result<bool>,
    ) {
        let begin = Instant::now();
        let mut running = self.running.lock().expect("no panic with it");
        running.push((name.to_owned(), begin));
        drop(running);
        let mut log = match Log::create(self.logs.join(name)) {
            Ok(log) => log,
            Err(error) => {
                let text = format!("{error:#}");
                return self.add(name, false, text, "");
            }
        };
        let good = judge(&mut log).unwrap_or_else(|error| {
            let _ = log.tell(&format!("FAIL  {error:#}"));
            false
        });
        let text = log.text();
        let took = took(begin.elapsed(), &log);
        self.add(name, good, text, &took);
    }

    fn add(&self, name: &str, good: bool, text: String, took: &str) {
        let verdict = if good { "ok" } else { "FAILED" };
        // One lock for the line and what belongs to it.
        let mut outcomes = self.outcomes.lock().expect("no panic in a stage");
        let mut running = self.running.lock().expect("no panic with it");
        running.retain(|(other, _)| other != name);
        self.moving.make_room();
        println!("{name:<22} {verdict:<7}{took}");
        if good {
            let skips = text.lines().filter(|line| line.contains(" SKIP  "));
            skips.for_each(|line| println!("    {line}"));
        } else {
            print!("{}", own_words(&text));
            println!("    all of it: {}", self.logs.join(name).display());
        }
        outcomes.push(Outcome { name: name.to_owned(), good, text });
    }

    /// The outcome of each stage, in the order in which they ended.
    #[must_use]
    pub fn outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_inner().expect("no panic in a stage")
    }
}

/// `  309 s  118 s of a processor   networking 80 s, attacks 61 s`
fn took(wall: Duration, log: &Log) -> String {
    let mut parts: Vec<_> = log.parts.iter().collect();
    parts.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    let longest = |(name, took): &&(String, Duration)| {
        format!("{name} {} s", took.as_secs())
    };
    let longest: Vec<_> = match parts.len() {
        0 | 1 => vec![],
        _ => parts.iter().take(3).map(longest).collect(),
    };
    let (wall, cpu) = (wall.as_secs(), log.cpu.as_secs());
    format!("{wall:5} s {cpu:5} s cpu   {}", longest.join(", "))
}

/// How the programs of a stage report a failure: shells, libtest, node's test
/// runner, rustc, rustfmt, shellcheck.
const FAILURE: &[&str] =
    &["FAIL", "not ok ", "error:", "error[", "panicked", "(error)", "Diff in"];

/// What a failed stage says about its failures: the claims that failed, in
/// their own words. If there are none: each line that reports a failure and
/// what follows it, and the end.
pub fn own_words(text: &str) -> String {
    const AFTER: usize = 12;
    const ALL: usize = 150;
    let claims = text.lines().filter_map(|line| {
        let record: Vec<_> = line.strip_prefix(MARK)?.split('\t').collect();
        let [_, _, binary, claim, "fail", words] = record[..] else {
            return None;
        };
        Some(format!("{binary}: {claim}: {words}"))
    });
    let claims: Vec<_> = claims.filter(|it| !it.contains(CANARY)).collect();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .collect();
    let tells = |line: &&str| FAILURE.iter().any(|word| line.contains(word));
    let mut shown = vec![false; lines.len()];
    for (number, _) in lines.iter().enumerate().filter(|(_, l)| tells(l)) {
        let end = (number + AFTER).min(lines.len());
        shown[number..end].fill(true);
    }
    let from = lines.len().saturating_sub(20);
    shown[from..].fill(true);
    let shown = lines.iter().zip(shown).filter_map(|(l, s)| s.then_some(*l));
    let shown: Vec<_> = match claims.is_empty() {
        true => shown.take(ALL).collect(),
        false => claims.iter().map(String::as_str).collect(),
    };
    shown.iter().map(|line| format!("    {line}\n")).collect()
}

/// The process groups that are running: a terminal's Ctrl-C does not reach
/// them.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on, a signal that ends us ends everything that we have started.
///
/// # Errors
/// If the kernel refuses a handler.
pub fn end_all_with_us() -> Result<()> {
    // Handlers and no mask: our children would inherit a mask.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("wait for signals in a thread")?;
    thread::spawn(move || {
        let signal = signals.forever().next().unwrap_or(SIGTERM);
        // Held until we end, so that nothing more is started.
        let groups = GROUPS.lock().expect("no panic with it");
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            for group in groups.iter() {
                let _ = killpg(*group, signal);
            }
            wait_until(Duration::from_secs(5), || {
                groups.iter().all(|group| has_ended(*group))
            });
        }
        std::process::exit(128 + signal);
    });
    Ok(())
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// How many times its limit of silence a program may take in all.
const TALKATIVE: u32 = 6;

/// Why a program was ended.
pub fn too_long(limit: Duration) -> String {
    format!("it was silent for {limit:?}, or took {TALKATIVE} times as long")
}

/// Runs a program in a process group of its own, and ends the group if it takes
/// too long; `said` tells how much it has said. Returns the processor time of
/// the program and its descendants, too.
fn run_in_a_group(
    command: &mut Command,
    limit: Duration,
    said: impl Fn() -> u64,
) -> io::Result<(Option<ExitStatus>, Duration)> {
    let mut groups = GROUPS.lock().expect("no panic with it");
    let mut child = command.process_group(0).spawn()?;
    let pid = Pid::from_raw(child.id() as i32);
    groups.push(pid);
    drop(groups);
    let (mut before, mut last_word) = (said(), Instant::now());
    let mut silent = || {
        let now = said();
        if now != before {
            (before, last_word) = (now, Instant::now());
        }
        last_word.elapsed() > limit
    };
    wait_until(limit * TALKATIVE, || has_ended(pid) || silent());
    let in_time = has_ended(pid);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if !has_ended(pid) {
            let _ = killpg(pid, signal);
            wait_until(Duration::from_secs(5), || has_ended(pid));
        }
    }
    let cpu = processor_time(pid);
    let status = child.wait()?;
    GROUPS.lock().expect("no panic with it").retain(|group| *group != pid);
    Ok((in_time.then_some(status), cpu))
}

/// Leaves it a zombie, so that its times can still be read.
fn has_ended(pid: Pid) -> bool {
    let flags =
        WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(pid), flags), Ok(WaitStatus::StillAlive))
}

/// utime, stime, cutime and cstime of /proc/PID/stat (proc_pid_stat(5)).
fn processor_time(pid: Pid) -> Duration {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.filter_map(|f| f.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    Duration::from_millis(ticks * 1000 / per_second.unwrap_or(100) as u64)
}

/// The output of a program that succeeded.
///
/// # Errors
/// If it can't be started, or fails.
pub fn output_of(words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", words[0]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{}: {}\n{said}",
        words.join(" "),
        output.status
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_shown_with_what_follows_however_far_from_the_end() {
        let noise = |name: &str| {
            (0..40).map(|i| format!("{name} {i}\n")).collect::<String>()
        };
        let text =
            format!("{}not ok 3 - a wall\nwhy\n{}", noise("a"), noise("b"));
        let shown = own_words(&text);
        assert!(shown.contains("    not ok 3 - a wall\n    why\n"), "{shown}");
        assert!(!shown.contains("a 39") && shown.contains("b 39"), "{shown}");
    }

    #[test]
    fn of_an_environment_the_claims_that_failed_are_shown() {
        let text = "test a ... FAILED\nnoise\n\
            #record\tlab\tcanary\tthe_canary_is_red\tfail\tas it should\n\
            #record\tlab\tnetworking\ta\tfail\tits words\n\
            #record\tlab\tnetworking\tb\tpass\t\n";
        assert_eq!(own_words(text), "    networking: a: its words\n");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_its_group() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & sleep 1000"]).stdout(Stdio::null());
        let begin = Instant::now();
        let limit = Duration::from_millis(200);
        let (status, _) =
            run_in_a_group(&mut command, limit, || 0).expect("sh");
        assert!(status.is_none() && begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_program_that_goes_on_talking_gets_more_time_but_not_for_ever() {
        let begin = Instant::now();
        let talks = || begin.elapsed().as_millis() as u64;
        let limit = Duration::from_millis(500);
        let run = |seconds: &str| {
            let mut command = Command::new("sleep");
            run_in_a_group(command.arg(seconds), limit, talks).expect("sleep").0
        };
        assert!(run("1").expect("it talked").success());
        assert!(run("1000").is_none());
    }

    #[test]
    fn processor_time_is_counted_with_that_of_descendants() {
        let mut command = Command::new("sh");
        let work = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done";
        command.args(["-c", &format!("({work}); true")]);
        let limit = Duration::from_secs(60);
        let (status, cpu) =
            run_in_a_group(&mut command, limit, || 0).expect("sh");
        assert!(status.expect("in time").success());
        assert!(cpu > Duration::from_millis(50), "{cpu:?}");
    }
}
