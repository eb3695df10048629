//! Profiles in docker's format: JSON that says which calls get which answer.
//!
//! Docker publishes its own, and `docker run --security-opt seccomp=FILE` reads
//! others. The words are libseccomp's.

use std::collections::BTreeMap;

use anyhow::{Context, Error, Result, bail, ensure};
use nix::libc;
use nix::sys::utsname::uname;
use rustix::thread::CapabilitySet;
use serde::Deserialize;

use crate::capability;
use crate::filter::{Action, Condition, Filter, Rule, Test};
use crate::near::near;
use crate::profile::{self, all_calls};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<Calls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    #[serde(default)]
    names: Vec<String>,
    /// As old profiles have it.
    name: Option<String>,
    action: String,
    errno_ret: Option<u16>,
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Where,
    #[serde(default)]
    excludes: Where,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// Where a rule applies: capabilities, architectures, and the oldest kernel.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Where {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// As docker calls it: Go's names.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "amd64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "arm64";

/// Reads a profile, for a container whose root keeps these capabilities.
///
/// # Errors
/// When it is not JSON of this kind, or names something that does not exist.
pub fn read(text: &[u8], kept: CapabilitySet) -> Result<Filter> {
    let profile: Profile = serde_json::from_slice(text)
        .context("not a seccomp profile in docker's format")?;
    let otherwise = action(&profile.default_action, profile.default_errno_ret)?;
    let mut calls = BTreeMap::<u32, Vec<Rule>>::new();
    for entry in &profile.syscalls {
        let rules = entry.rules()?;
        let holds = entry.includes.all(kept)? && !entry.excludes.any(kept)?;
        if !holds {
            continue;
        }
        for name in entry.names.iter().chain(&entry.name) {
            if let Some(number) = number_of(name)? {
                calls.entry(number).or_default().extend(rules.clone());
            }
        }
    }
    Ok(Filter { calls, otherwise })
}

impl Calls {
    /// The conditions of a rule must all hold. Two about the same argument are
    /// two rules, as in runc.
    fn rules(&self) -> Result<Vec<Rule>> {
        let action = action(&self.action, self.errno_ret)?;
        let arguments = self.args.as_deref().unwrap_or_default();
        let conditions = arguments
            .iter()
            .map(Argument::condition)
            .collect::<Result<Vec<_>>>()?;
        let mut seen =
            conditions.iter().map(|it| it.argument).collect::<Vec<_>>();
        seen.sort_unstable();
        seen.dedup();
        Ok(match seen.len() == conditions.len() {
            true => vec![Rule { conditions, action }],
            false => conditions
                .into_iter()
                .map(|one| Rule { conditions: vec![one], action })
                .collect(),
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition> {
        let Argument { index, value, value_two, ref op } = *self;
        ensure!(index < 6, "a system call has arguments 0 to 5, not {index}");
        let test = match op.as_str() {
            "SCMP_CMP_EQ" => Test::Equal,
            "SCMP_CMP_NE" => Test::NotEqual,
            "SCMP_CMP_LT" => Test::Less,
            "SCMP_CMP_LE" => Test::LessOrEqual,
            "SCMP_CMP_GT" => Test::Greater,
            "SCMP_CMP_GE" => Test::GreaterOrEqual,
            "SCMP_CMP_MASKED_EQ" => {
                let test = Test::Masked(value);
                return Ok(Condition {
                    argument: index,
                    test,
                    value: value_two,
                });
            }
            op => bail!("unknown comparison {op:?}: {}", near(op, COMPARISONS)),
        };
        Ok(Condition { argument: index, test, value })
    }
}

impl Where {
    fn facts(&self, kept: CapabilitySet) -> Result<Vec<bool>> {
        let mut facts = vec![];
        for name in &self.caps {
            let capability = capability::find(name).map_err(Error::msg)?;
            facts.push(kept.contains(capability));
        }
        if !self.arches.is_empty() {
            facts.push(self.arches.iter().any(|it| it == ARCHITECTURE));
        }
        if let Some(oldest) = &self.min_kernel {
            facts.push(is_at_least(oldest)?);
        }
        Ok(facts)
    }

    fn all(&self, kept: CapabilitySet) -> Result<bool> {
        Ok(self.facts(kept)?.into_iter().all(|fact| fact))
    }

    fn any(&self, kept: CapabilitySet) -> Result<bool> {
        Ok(self.facts(kept)?.into_iter().any(|fact| fact))
    }
}

fn is_at_least(oldest: &str) -> Result<bool> {
    let version = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let name = uname()?;
    let ours = version(&name.release().to_string_lossy());
    let oldest = version(oldest).with_context(|| {
        format!("minKernel {oldest:?} is not a version such as 4.8")
    })?;
    Ok(ours.is_some_and(|ours| ours >= oldest))
}

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const COMPARISONS: &[&str] = &[
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

fn action(name: &str, errno: Option<u16>) -> Result<Action> {
    let errno = errno.unwrap_or(libc::EPERM as u16);
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ERRNO" => Action::Errno(errno),
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRACE" => Action::Trace(errno),
        "SCMP_ACT_NOTIFY" => bail!(
            "SCMP_ACT_NOTIFY asks a program beside the container, and there is \
             none here: SCMP_ACT_ERRNO refuses the call"
        ),
        name => bail!("unknown action {name:?}: {}", near(name, ACTIONS)),
    })
}

/// `None` for a call that only other architectures have.
fn number_of(name: &str) -> Result<Option<u32>> {
    let number = profile::number(name);
    ensure!(
        number.is_some() || is_known_elsewhere(name),
        "unknown system call {name:?}: {}",
        near(name, &known_anywhere())
    );
    Ok(number)
}

/// Docker has one profile for all architectures, including those of 32 bits.
fn is_known_elsewhere(name: &str) -> bool {
    name.parse::<syscalls::aarch64::Sysno>().is_ok()
        || name.parse::<syscalls::arm::Sysno>().is_ok()
        || name.parse::<syscalls::x86::Sysno>().is_ok()
        || name.parse::<syscalls::x86_64::Sysno>().is_ok()
        || ELSEWHERE.contains(&name)
}

/// The names of all calls, since a profile is for all architectures: on
/// aarch64, which has no open(2), whoever misspells it means it all the same.
fn known_anywhere() -> Vec<&'static str> {
    let last = syscalls::x86_64::Sysno::last().id() as usize;
    let elsewhere = (0..=last).filter_map(syscalls::x86_64::Sysno::new);
    let elsewhere = elsewhere.map(|call| call.name());
    all_calls().map(|(name, _)| name).chain(elsewhere).collect()
}

/// Calls of ARM and RISC-V that those tables lack.
const ELSEWHERE: [&str; 5] = [
    "breakpoint",
    "cacheflush",
    "riscv_hwprobe",
    "set_tls",
    "sync_file_range2",
];
