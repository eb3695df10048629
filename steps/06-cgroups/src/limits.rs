//! The limits, as docker's flags name them.

use std::fs;
use std::thread::available_parallelism;

use anyhow::{Error, Result};
use runtime::Failure;

/// One period of the processor's accounts, in microseconds (the kernel's default).
pub const PERIOD: u64 = 100_000;

/// What a container may use at most.
#[derive(Debug, clap::Args)]
pub struct Limits {
    /// Memory limit, with the unit b, k, m or g
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    memory: Option<Size>,

    /// Limit on processors, a decimal number
    #[arg(long, value_name = "N", value_parser = processors)]
    cpus: Option<f64>,

    /// Limit on processes and threads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pids_limit: Option<u32>,
}

/// A number of bytes, and how it was typed.
#[derive(Debug, Clone, PartialEq)]
struct Size {
    bytes: u64,
    typed: String,
}

impl Limits {
    /// Whether anything is limited.
    #[must_use]
    pub fn any(&self) -> bool {
        self.memory.is_some()
            || self.cpus.is_some()
            || self.pids_limit.is_some()
    }

    /// In bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.memory.as_ref().map(|size| size.bytes)
    }

    /// As the person who typed it would call it.
    #[must_use]
    pub fn memory_as_typed(&self) -> Option<&str> {
        self.memory.as_ref().map(|size| size.typed.as_str())
    }

    /// Microseconds of processor time in each `PERIOD`.
    #[must_use]
    pub fn quota(&self) -> Option<u64> {
        self.cpus.map(|cpus| (cpus * PERIOD as f64).round() as u64)
    }

    /// Processes and threads together: the kernel counts tasks.
    #[must_use]
    pub fn pids(&self) -> Option<u32> {
        self.pids_limit
    }

    /// Without limits, it is enough to say that there is no cgroup.
    ///
    /// # Errors
    /// With limits: the same.
    pub fn do_without(&self, error: Error) -> Result<String> {
        match self.any() || Failure::is_interruption(&error) {
            true => Err(error),
            false => Ok(format!("without a cgroup: {error:#}")),
        }
    }
}

/// The least that docker takes, too: below it not even a shell starts.
const LEAST: u64 = 6 << 20;

fn size(text: &str) -> Result<Size, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "b"),
    };
    let factor = match unit.to_ascii_lowercase().as_str() {
        "b" => 1_u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => {
            return Err(format!(
                "{unit:?} is not a unit of memory: use b, k, m or g"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "a size is a number and a unit: 64m, 1.5g")?;
    let bytes = number * factor as f64;
    let machine = memory_of_the_machine();
    match bytes {
        _ if !number.is_finite() => {
            Err("a size is a number and a unit: 64m, 1.5g".into())
        }
        _ if bytes < LEAST as f64 => Err(
            "no container starts with less than 6m; leave the option out to set no limit"
                .into(),
        ),
        _ if machine.is_some_and(|machine| bytes > machine as f64) => {
            Err(format!(
                "the machine itself has {}m: this would limit nothing",
                machine.unwrap_or_default() >> 20
            ))
        }
        _ => Ok(Size { bytes: bytes as u64, typed: text.to_owned() }),
    }
}

/// In bytes (proc_meminfo(5)).
fn memory_of_the_machine() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let total =
        table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

fn processors(text: &str) -> Result<f64, String> {
    let there = available_parallelism().map_or(1, usize::from) as f64;
    match text.parse::<f64>() {
        Ok(cpus) if cpus > there => Err(format!("this machine has {there}")),
        Ok(cpus) if cpus >= 0.01 => Ok(cpus),
        Ok(_) => {
            Err("the least is 0.01; leave the option out to set no limit"
                .into())
        }
        Err(_) => Err("processors are given as a decimal number: 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_has_a_unit_and_may_be_a_fraction() {
        for (text, bytes) in
            [("64M", 64 << 20), ("1.5g", 3 << 29), ("8192k", 8 << 20)]
        {
            assert_eq!(size(text), Ok(Size { bytes, typed: text.into() }));
        }
        assert_eq!(size("67108864").map(|size| size.bytes), Ok(64 << 20));
    }

    #[test]
    fn what_is_no_size_or_limits_nothing_is_refused() {
        for text in [
            "0", "-64m", "1m", "64x", "m", "", "nan", "inf", "1e30g", "64 m",
            "6.m.m",
        ] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_number_of_processors_is_one_that_the_machine_has() {
        assert_eq!(processors("0.5"), Ok(0.5));
        for text in ["0", "-1", "100000", "nan", "one", ""] {
            assert!(processors(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn all_that_the_machine_has_can_be_asked_for_and_no_more() {
        let all = memory_of_the_machine().expect("/proc/meminfo");
        assert_eq!(size(&all.to_string()).map(|size| size.bytes), Ok(all));
        assert!(size(&format!("{}k", (all >> 10) + 1)).is_err());
        let there = available_parallelism().map_or(1, usize::from);
        assert_eq!(processors(&there.to_string()), Ok(there as f64));
        assert!(processors(&(there + 1).to_string()).is_err());
    }

    #[test]
    fn limits_are_what_was_asked_for() {
        let none = || Limits { memory: None, cpus: None, pids_limit: None };
        let memory = Limits { memory: size("64m").ok(), ..none() };
        let cpus = Limits { cpus: Some(0.5), ..none() };
        let pids = Limits { pids_limit: Some(20), ..none() };
        assert_eq!(memory.memory(), Some(64 << 20));
        assert_eq!(memory.memory_as_typed(), Some("64m"));
        assert_eq!(cpus.quota(), Some(PERIOD / 2));
        assert_eq!(pids.pids(), Some(20));
        let any = [none(), memory, cpus, pids].map(|limits| limits.any());
        assert_eq!(any, [false, true, true, true]);
    }

    /// 0.29 is no binary fraction: its product is a little less than 29000.
    #[test]
    fn a_hundredth_of_a_processor_is_a_thousand_microseconds() {
        for hundredths in 1..=100 {
            let typed = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            let cpus = processors(&typed).ok();
            let limits = Limits { memory: None, cpus, pids_limit: None };
            assert_eq!(limits.quota(), Some(hundredths * 1000), "{typed}");
        }
    }

    /// What a person may type, and what nobody would.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[-+]?[0-9]{0,24}(\\.[0-9]{0,6})?(e[0-9]{1,3})? ?([bkmgtx]|[KMG]i?[Bb])?",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_size_that_is_taken_lies_between_the_least_and_the_machine(text in text()) {
            if let Ok(Size { bytes, typed }) = size(&text) {
                prop_assert!(bytes >= LEAST);
                prop_assert!(memory_of_the_machine().is_none_or(|all| bytes <= all));
                prop_assert_eq!(typed, text);
            }
        }

        #[test]
        fn a_size_in_megabytes_is_as_many_bytes(megabytes in 6_u64..64) {
            for unit in ["m", "M", "mb", "MiB"] {
                let taken = size(&format!("{megabytes}{unit}")).map(|size| size.bytes);
                prop_assert_eq!(taken, Ok(megabytes << 20));
            }
        }

        #[test]
        fn processors_that_are_taken_are_a_quota_that_the_kernel_takes(text in text()) {
            if let Ok(cpus) = processors(&text) {
                let limits = Limits { memory: None, cpus: Some(cpus), pids_limit: None };
                // Documentation/scheduler/sched-bwc.rst: at least 1 ms.
                prop_assert!(limits.quota() >= Some(1000));
            }
        }
    }
}
