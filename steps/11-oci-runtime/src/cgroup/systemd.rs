//! The systemd driver: not we make the cgroup but systemd, the one writer of its
//! tree. It is asked for a scope, a cgroup around processes that somebody else
//! starts (systemd.scope(5)), over D-Bus (org.freedesktop.systemd1(5)).
//!
//! By busctl(1): wherever systemd answers, it is there. A library for D-Bus is
//! larger than this runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use cgroups::tree::Trees;
use nix::errno::Errno;
use nix::unistd::geteuid;
use oci_spec::runtime::LinuxResources;
use runtime::{Inside, helper_program, shell};
use serde::{Deserialize, Serialize};

use super::{PATIENCE, limits, may_do_without};

/// A scope, and where it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scope {
    slice: String,
    name: String,
    /// For a new one: its limits.
    #[serde(skip)]
    pub resources: LinuxResources,
}

/// Files of v2 that systemd would write anew, and what it calls them. All other
/// ones it leaves to whoever the scope is delegated to.
const PROPERTIES: [(&str, &str); 6] = [
    ("memory.max", "MemoryMax"),
    ("memory.low", "MemoryLow"),
    ("memory.swap.max", "MemorySwapMax"),
    ("cpu.weight", "CPUWeight"),
    ("io.weight", "IOWeight"),
    ("pids.max", "TasksMax"),
];

/// Where systemd has no limit, its number says so.
const NONE: u64 = u64::MAX;

impl Scope {
    /// By a cgroupsPath of its own form: SLICE:PREFIX:NAME.
    ///
    /// # Errors
    /// When it is another one, or there is no systemd.
    pub fn plan(
        asked: Option<&Path>,
        id: &str,
        resources: LinuxResources,
    ) -> Result<Scope> {
        ensure!(
            Path::new("/run/systemd/system").is_dir(),
            "--systemd-cgroup: no systemd runs here, leave the option out"
        );
        let usual = PathBuf::from(format!(":workshop:{id}"));
        let path = asked.unwrap_or(&usual).to_string_lossy();
        let [slice, prefix, name] = path.split(':').collect::<Vec<_>>()[..]
        else {
            bail!(
                "linux.cgroupsPath {path:?}: with --systemd-cgroup, it is SLICE:PREFIX:NAME"
            )
        };
        let slice = match (slice, may_do_without()) {
            ("", true) => "user.slice",
            ("", false) => "system.slice",
            (asked, _) => asked,
        };
        let name = format!("{prefix}-{name}.scope");
        let name = name.trim_start_matches('-').to_owned();
        Ok(Scope { slice: slice.to_owned(), name, resources })
    }

    /// Has it made around ourselves, and says where it is.
    ///
    /// # Errors
    /// What systemd says; when we are not moved there.
    pub fn start(&self, container: &Inside) -> Result<PathBuf> {
        let pid = std::process::id().to_string();
        let mut all = vec![
            vec!["Slice", "s", &self.slice],
            vec!["PIDs", "au", "1", &pid],
            vec!["Delegate", "b", "true"],
            vec!["DefaultDependencies", "b", "false"],
            vec!["CollectMode", "s", "inactive-or-failed"],
        ];
        let limits = properties(&self.resources)?;
        all.extend(limits.iter().map(|(it, n)| vec![*it, "t", &**n]));
        let count = all.len().to_string();
        let start = ["ssa(sv)a(sa(sv))", &self.name, "fail", &count];
        let words = [&start, &all.concat()[..], &["0"]].concat();
        self.tell(container, "StartTransientUnit", &words)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, own) = Trees::read()?.place(None).context("no cgroup2")?;
            if own.ends_with(&self.name) {
                return Ok(own);
            }
            ensure!(
                Instant::now() < end,
                "systemd does not start {}",
                self.name
            );
            sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Has us moved there. An ordinary user may not leave the cgroup of a login.
    ///
    /// # Errors
    /// What systemd says.
    pub fn enter(&self, container: &Inside) -> Result<()> {
        let pid = std::process::id().to_string();
        let words = ["ssau", &self.name, "", "1", &pid];
        self.tell(container, "AttachProcessesToUnit", &words)
    }

    /// Else it would write the old limits again some day.
    ///
    /// # Errors
    /// What systemd says.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let limits = properties(resources)?;
        let count = limits.len().to_string();
        let mut words = vec!["sba(sv)", &self.name, "true", &count];
        words.extend(limits.iter().flat_map(|(it, n)| [*it, "t", &**n]));
        ask("SetUnitProperties", &words)
    }

    /// It goes by itself when it is empty: this hurries it.
    pub fn stop(&self, place: &Path) {
        let _ = ask("StopUnit", &["ss", &self.name, "replace"]);
        let end = Instant::now() + PATIENCE;
        while fs::exists(place).unwrap_or(false) && Instant::now() < end {
            sleep(std::time::Duration::from_millis(1));
        }
    }

    fn tell(
        &self,
        container: &Inside,
        method: &str,
        words: &[&str],
    ) -> Result<()> {
        let call = format!("{method}({:?}, {:?})", self.name, self.slice);
        let typed = shell(call_of(method, words));
        let why = "a cgroup of systemd's, which delegates it to us";
        container
            .call(call, why, typed, || Ok::<_, Errno>(ask(method, words)))?
    }
}

/// What is asked for, in systemd's words.
fn properties(
    resources: &LinuxResources,
) -> Result<Vec<(&'static str, String)>> {
    let mut all = vec![];
    for (file, value) in limits::files(resources, true)? {
        let number = |it: &str| it.parse().unwrap_or(NONE);
        if let Some((quota, period)) =
            value.split_once(' ').filter(|_| file == "cpu.max")
        {
            let (quota, period) = (number(quota), number(period));
            let a_second = quota.saturating_mul(1_000_000) / period.max(1);
            let a_second = if quota == NONE { NONE } else { a_second };
            all.push(("CPUQuotaPerSecUSec", a_second.to_string()));
            all.push(("CPUQuotaPeriodUSec", period.to_string()));
        }
        let known = PROPERTIES.iter().find(|(name, _)| *name == file);
        all.extend(known.map(|(_, it)| (*it, number(&value).to_string())));
    }
    Ok(all)
}

fn call_of<'a>(method: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let manager = if may_do_without() { "--user" } else { "--system" };
    let call = [
        "busctl",
        manager,
        "--quiet",
        "--",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        method,
    ];
    [&call, words].concat()
}

/// Root asks the machine's systemd, and everybody else their own.
fn ask(method: &str, words: &[&str]) -> Result<()> {
    let call = call_of(method, words);
    let mut busctl = Command::new(call[0]);
    busctl.args(&call[1..]);
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        busctl.env("XDG_RUNTIME_DIR", format!("/run/user/{}", geteuid()));
    }
    let (status, said) =
        helper_program::run(&mut busctl).context("busctl, to ask systemd")?;
    ensure!(status.success(), "systemd, asked for {method}: {said}");
    Ok(())
}
