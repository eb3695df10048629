//! `--security-opt`: docker's flag for everything but capabilities.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use rustix::thread::CapabilitySet;

use crate::{NoNewPrivileges, Seccomp, SystemPaths};

/// What is switched off, or done differently.
#[derive(Debug, clap::Args)]
pub struct SecurityOptions {
    /// no-new-privileges[=false], seccomp=FILE|unconfined, systempaths=unconfined
    #[arg(long = "security-opt", value_name = "OPTION",
          value_parser = OsStringValueParser::new().try_map(parse))]
    options: Vec<SecurityOption>,
}

/// One `--security-opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SecurityOption {
    NoNewPrivileges(bool),
    Seccomp(Option<PathBuf>),
    SystemPathsUnconfined,
}

impl SecurityOptions {
    /// Whether programs can give us more rights than we have.
    #[must_use]
    pub fn no_new_privileges(&self) -> NoNewPrivileges {
        let last = self.options.iter().rev().find_map(|option| match option {
            SecurityOption::NoNewPrivileges(on) => Some(*on),
            _ => None,
        });
        NoNewPrivileges(last.unwrap_or(true))
    }

    /// The filter for system calls, if root inside keeps these capabilities.
    #[must_use]
    pub fn seccomp(&self, kept: CapabilitySet) -> Seccomp {
        let last = self.options.iter().rev().find_map(|option| match option {
            SecurityOption::Seccomp(profile) => Some(profile.clone()),
            _ => None,
        });
        Seccomp {
            confined: last != Some(None),
            profile: last.flatten(),
            kept,
            no_new_privileges: self.no_new_privileges().0,
            program: Vec::new(),
        }
    }

    /// Which paths of /proc and /sys are covered.
    #[must_use]
    pub fn system_paths(&self) -> SystemPaths {
        let option = SecurityOption::SystemPathsUnconfined;
        SystemPaths { unconfined: self.options.contains(&option), chosen: None }
    }
}

/// As with docker, `:` does for `=`.
fn parse(text: std::ffi::OsString) -> Result<SecurityOption, String> {
    let text = text.into_encoded_bytes();
    let at = text.iter().position(|byte| b"=:".contains(byte));
    let (name, value) = text.split_at(at.unwrap_or(text.len()));
    let value = value.get(1..).map(bytes_of_a_path);
    let said = value.as_ref().and_then(|value| value.to_str());
    match (name, said) {
        (b"no-new-privileges", None | Some("true"))
            if value.is_none() || said.is_some() =>
        {
            Ok(SecurityOption::NoNewPrivileges(true))
        }
        (b"no-new-privileges", Some("false")) => {
            Ok(SecurityOption::NoNewPrivileges(false))
        }
        (b"seccomp", Some("unconfined")) => Ok(SecurityOption::Seccomp(None)),
        (b"seccomp", _)
            if value.as_ref().is_some_and(|it| !it.as_os_str().is_empty()) =>
        {
            Ok(SecurityOption::Seccomp(value))
        }
        (b"systempaths", Some("unconfined")) => {
            Ok(SecurityOption::SystemPathsUnconfined)
        }
        (b"apparmor" | b"label" | b"writable-cgroups", _) => {
            Err("this workshop has no such feature; it has no-new-privileges, \
             seccomp and systempaths"
                .into())
        }
        _ => Err("it is one of: no-new-privileges, no-new-privileges=false, \
             seccomp=FILE, seccomp=unconfined, systempaths=unconfined"
            .into()),
    }
}

fn bytes_of_a_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}
