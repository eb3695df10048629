//! The filter for system calls, and when it is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use runtime::process::{Instruction, filter_system_calls};
use runtime::{Because, Inside, NO_FILTERS};
use rustix::thread::CapabilitySet;

use crate::filter::{Action, Filter};
use crate::{docker, profile};

/// A small program that the kernel runs before each system call.
#[derive(Debug)]
pub struct Seccomp {
    /// Whether a filter is loaded at all.
    pub confined: bool,
    /// A profile in docker's format, in place of our own.
    pub profile: Option<PathBuf>,
    /// What root inside keeps: some calls come back with a capability.
    pub kept: CapabilitySet,
    /// With it, loading a filter takes none of root's powers.
    pub no_new_privileges: bool,
    /// The filter, compiled for the kernel.
    pub program: Vec<Instruction>,
}

impl Seccomp {
    /// Compiles our own filter, or the profile.
    ///
    /// # Errors
    /// When the profile is no good.
    pub fn compile(&mut self) -> Result<()> {
        if self.confined {
            let program = self.filter()?.program();
            self.program = program.with_context(|| self.option())?;
        }
        Ok(())
    }

    /// Our own filter, or the one that the profile describes.
    ///
    /// # Errors
    /// When the profile can't be read, or nothing could be started under it.
    pub fn filter(&self) -> Result<Filter> {
        let Some(path) = &self.profile else {
            return Ok(profile::filter(self.kept));
        };
        let name = || self.option();
        let text = fs::read(path).with_context(name)?;
        let filter = docker::read(&text, self.kept).with_context(name)?;
        match filter.verdict(libc::SYS_execve as u32, [0; 6]) {
            Action::Allow | Action::Log => Ok(filter),
            _ => bail!(
                "{}: it refuses execve(2), and without that no command can \
                 start: add execve to a rule with SCMP_ACT_ALLOW",
                name()
            ),
        }
    }

    fn option(&self) -> String {
        let profile = self.profile.as_deref().unwrap_or(Path::new("default"));
        format!("--security-opt seccomp={}", profile.display())
    }

    /// Told here, and loaded directly before the exec, so that we need none of
    /// the calls that it refuses. Or loaded here, where that takes a power that
    /// is about to go.
    ///
    /// # Errors
    /// As seccomp(2).
    pub fn load(&self, container: &mut Inside) -> Result<()> {
        if !self.confined {
            return Ok(());
        }
        let program = &self.program;
        container
            .call(
                "seccomp(SECCOMP_SET_MODE_FILTER, 0, …)",
                &format!("a filter of {} instructions", program.len()),
                "",
                || match self.no_new_privileges {
                    true => Ok(()),
                    false => filter_system_calls(program),
                },
            )
            .because(Errno::EINVAL, NO_FILTERS)
            .because(Errno::ENOSYS, NO_FILTERS)?;
        if self.no_new_privileges {
            container.filter = Some(program.clone());
        }
        Ok(())
    }
}
