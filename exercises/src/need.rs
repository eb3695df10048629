//! What this host may lack.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testbed::machine::{Call, Door, answers, program};

/// Where the host's init is.
pub const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// What a check of an exercise needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// More than one user id.
    Ids,
    /// A cgroup that is ours to give.
    Cgroup,
    /// The pretend internet.
    Internet,
    /// Calls as programs of 32 bits make them.
    Bits32,
    /// A look at one's own children: ptrace(2).
    Ptrace,
    /// An init to boot: this host's own.
    Systemd,
    /// The other programs of the workshop, built.
    Programs,
}

impl Need {
    /// Why this playground lacks it, if it does.
    #[must_use]
    pub fn lacks(self) -> Option<&'static str> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        match self {
            Need::Ids if variable("PLAYGROUND_IDS") == "1" => Some(
                "you have only one user id: there is no range for you in \
                 /etc/subuid",
            ),
            Need::Cgroup
                if ["", "none"].contains(&&*variable("PLAYGROUND_CGROUP")) =>
            {
                Some("this host gives you no cgroup of your own")
            }
            Need::Internet if variable("PLAYGROUND_INTERNET").is_empty() => {
                Some("the program ip is missing, so there is no internet")
            }
            Need::Bits32 if !has_calls_of_32_bits() => {
                Some("this machine has no calls for programs of 32 bits")
            }
            Need::Systemd if !Path::new(SYSTEMD).exists() => {
                Some("this host has no systemd to boot")
            }
            Need::Ptrace if yama() == "3" => Some(
                "this host forbids ptrace to everybody \
                 (kernel.yama.ptrace_scope is 3)",
            ),
            _ => None,
        }
    }
}

fn yama() -> String {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    scope.unwrap_or_default().trim_end().to_owned()
}

/// Asks for a process id by that door: only x86-64 has one, and its kernel may
/// have been built or started without.
fn has_calls_of_32_bits() -> bool {
    if !cfg!(target_arch = "x86_64") {
        return false;
    }
    const GETPID: u32 = 20;
    let asks = Call { door: Door::Bits32, number: GETPID, arguments: vec![] };
    let try_it = || -> std::io::Result<Vec<i64>> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(&file, program(&[asks], &[]))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700))?;
        // Closed: nobody executes what is open for writing.
        let output =
            Command::new(file.into_temp_path().as_os_str()).output()?;
        Ok(answers(&output.stdout))
    };
    try_it().is_ok_and(|answers| answers.iter().any(|pid| *pid > 0))
}
