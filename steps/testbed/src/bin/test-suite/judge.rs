//! The claims of test binaries, judged in one environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::record::{BEGUN, ENVIRONMENT, MARK};

use crate::plan::{self, CANARY};
use crate::stage::{Log, output_of, too_long};

/// A test binary from `tests/`. It names its own claims.
pub struct Binary {
    /// `networking`, without the hash that cargo adds.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Binary {
    /// The binary at a path.
    #[must_use]
    pub fn at(path: PathBuf) -> Binary {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.rsplit_once('-').map_or(&*file, |(name, _)| name);
        Binary { name: name.to_owned(), path }
    }

    /// Its claims, according to `--list`.
    fn claims(&self) -> Result<Vec<String>> {
        let path = self.path.to_string_lossy();
        let list = output_of(&[&path, "--list"])?;
        let list = String::from_utf8_lossy(&list).into_owned();
        let claims = list.lines().filter_map(|l| l.strip_suffix(": test"));
        Ok(claims.map(str::to_owned).collect())
    }
}

/// Where claims are judged, and with which words a program is started there.
pub struct Place<'a> {
    /// Its name in the matrix.
    pub environment: &'a str,
    /// What stands before the program and its arguments.
    pub prefix: &'a [&'a str],
    /// How long one binary may take.
    pub limit: Duration,
    /// Which of its claims are judged: every so many-th one, from which on.
    /// Several hosts like this one share them.
    pub part: (usize, usize),
}

impl Place<'_> {
    /// A user may not be able to reach the program by its full path, through a
    /// closed directory, but can still reach it from the checkout that we are
    /// in.
    fn command(&self, program: &Path) -> Command {
        let here = std::env::current_dir().unwrap_or_default();
        let program = program.strip_prefix(here).unwrap_or(program);
        let mut words = self.prefix.iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env("TEST_ENVIRONMENT", self.environment);
        command
    }

    /// Judges every claim of these binaries, except those that are left out for
    /// a reason. False if one does not hold, or was not judged.
    ///
    /// # Errors
    /// If a binary can't list its claims.
    pub fn judge(&self, log: &mut Log, binaries: &[&Binary]) -> Result<bool> {
        let mut good = self.can_be_red(log)?;
        for binary in binaries {
            let claims = binary.claims().with_context(|| {
                format!("list the claims of {}", binary.name)
            })?;
            ensure!(!claims.is_empty(), "{} has no claims", binary.name);
            let (first, step) = self.part;
            let nth = |(nth, _): &(usize, String)| nth % step == first;
            let (claims, others): (Vec<_>, Vec<_>) =
                claims.into_iter().enumerate().partition(nth);
            let claims: Vec<_> = claims.into_iter().map(|it| it.1).collect();
            if claims.is_empty() {
                continue;
            }
            if let Some(reason) = plan::left_out(self.environment, &binary.name)
            {
                for claim in claims {
                    self.record(log, &binary.name, &claim, "skip", reason)?;
                }
                continue;
            }
            let before = log.text().len();
            let mut command = self.command(&binary.path);
            command.arg("--exact");
            others.iter().for_each(|it| {
                command.args(["--skip", &it.1]);
            });
            let status = log.run(&binary.name, &mut command, self.limit)?;
            let said = log.text().split_off(before);
            good &= self.settle(log, binary, &claims, status, &said)?;
        }
        Ok(good)
    }

    /// The environment itself is judged first: it reports what it is, and a
    /// claim that does not hold must turn out red there.
    fn can_be_red(&self, log: &mut Log) -> Result<bool> {
        let own = std::env::current_exe().context("find this program")?;
        let mut command = self.command(&own);
        command.args(["canary", self.environment]);
        let status = log.run("canary", &mut command, self.limit)?;
        let red =
            format!("{MARK}\t{}\tcanary\t{CANARY}\tfail", self.environment);
        let can = status.and_then(|s| s.code()) == Some(RED)
            && log.text().lines().any(|line| line.starts_with(&red));
        if !can {
            let why =
                format!("a claim that does not hold is not red: {status:?}");
            self.record(log, "canary", "a_false_claim_is_red", "fail", &why)?;
        }
        Ok(can)
    }

    /// A claim that was not judged is red, whatever the binary says; and so is
    /// a binary whose exit status contradicts its claims.
    fn settle(
        &self,
        log: &mut Log,
        binary: &Binary,
        claims: &[String],
        status: Option<ExitStatus>,
        said: &str,
    ) -> Result<bool> {
        let how = match status {
            None => too_long(self.limit),
            Some(status) => status.to_string(),
        };
        let success = status.is_some_and(|status| status.success());
        let records: Vec<Vec<_>> = said
            .lines()
            .filter(|line| line.starts_with(MARK))
            .map(|line| line.split('\t').collect())
            .collect();
        let is_judged = |claim: &str| {
            records.iter().any(|record| record.get(3) == Some(&claim))
        };
        let red = records.iter().any(|record| record.get(4) == Some(&"fail"));
        let mut all_judged = true;
        for claim in claims.iter().filter(|claim| !is_judged(claim)) {
            let begun = said.contains(&format!("{BEGUN}\t{claim}\n"));
            let what = if begun { "was running" } else { "not begun" };
            let why = format!("{what} when {} ended: {how}", binary.name);
            self.record(log, &binary.name, claim, "fail", &why)?;
            all_judged = false;
        }
        if all_judged && success == red {
            let why = format!("its claims say otherwise: {how}");
            self.record(log, &binary.name, "its_exit_status", "fail", &why)?;
        }
        Ok(success && all_judged && !red)
    }

    fn record(
        &self,
        log: &mut Log,
        binary: &str,
        claim: &str,
        result: &str,
        reason: &str,
    ) -> Result<()> {
        let environment = self.environment;
        log.tell(&format!(
            "{MARK}\t{environment}\t{binary}\t{claim}\t{result}\t{reason}"
        ))
    }
}

/// libtest's exit status when a claim does not hold.
const RED: i32 = 101;

/// What the canary does inside an environment: it reports what the environment
/// is, and does not hold. The matrix leaves it out.
pub fn canary(environment: &str) -> std::process::ExitCode {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let mut lines = release.lines();
        let value =
            lines.find_map(|it| it.strip_prefix(key)?.strip_prefix('='));
        let word = value?.trim_matches('"').split(' ').next();
        word.map(str::to_owned)
    };
    // Debian unstable has no number.
    let version = value("VERSION_ID").or_else(|| value("VERSION_CODENAME"));
    let system = [value("NAME"), version].map(Option::unwrap_or_default);
    let other = std::env::consts::ARCH;
    let other = if other == "x86_64" { "" } else { other };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
    let kernel = kernel.unwrap_or_default();
    let kernel: Vec<_> = kernel.split(['.', '-', '\n']).take(2).collect();
    let exists = |name: &str| Path::new("/sys/fs/cgroup").join(name).exists();
    let cgroups = match (exists("cgroup.controllers"), exists("memory")) {
        (true, _) => "v2",
        (_, true) => "v1",
        _ => "none",
    };
    println!(
        "{ENVIRONMENT}\t{environment}\t{}\t{}\t{cgroups}",
        format!("{} {other}", system.join(" ")).trim(),
        kernel.join(".")
    );
    println!("{MARK}\t{environment}\tcanary\t{CANARY}\tfail\tas it should");
    std::process::ExitCode::from(RED as u8)
}
