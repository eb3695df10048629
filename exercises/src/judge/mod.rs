//! The judge: runs a learner's program in the playground, and looks at it
//! from outside.
//!
//! It is a process of its own, PID 1 of its own namespaces: a host within the
//! pretend host. What a program leaves behind goes with it.

pub mod cgroup;
mod clean;
mod host;
pub mod look;
pub mod machine;
mod order;
mod run;
mod under;
mod verdict;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use runtime::{Narrator, RootDirectory, Signals};
use testbed::{proc, token};

use crate::need::Need;
use clean::Before;
use host::Host;
pub use order::Order;
use run::PLACE;
pub use run::{Ended, Errors, Run, how};
pub use under::become_under;
pub use verdict::{Failure, Told, Verdict};

/// What starts a program as number 1 of a PID namespace, as its only child.
pub const AS_NUMBER_ONE: &[&str] =
    &["unshare", "--pid", "--fork", "--kill-child", "--"];

/// What a check works with.
#[derive(Debug)]
pub struct Judge {
    errors: Errors,
    program: PathBuf,
    host: Host,
    root: Option<RootDirectory>,
    cgroups: Vec<PathBuf>,
    /// The host's name, made for this check.
    pub hostname: String,
}

/// Reads a program from stdin, judges it, and returns the verdict.
///
/// # Errors
/// When the judge itself can't work. That is no verdict.
pub fn judge(
    name: &str,
    needs: &[Need],
    errors: Errors,
    check: fn(&mut Judge) -> Result<String, Failure>,
) -> Result<Told> {
    // At the end, all processes that we can see are killed.
    let alone =
        std::process::id() == 1 && std::env::var_os("PLAYGROUND").is_some();
    anyhow::ensure!(alone, "a judge works as PID 1 in a playground");
    let lacks = needs.iter().find_map(|need| need.lacks());
    if let Some(reason) = lacks {
        return Ok(Verdict::Skip(reason.into()).into());
    }
    let mut judge = Judge::begin(name, errors)?;
    let before = Before::look(judge.host());
    let check = AssertUnwindSafe(|| check(&mut judge));
    let verdict = match catch_unwind(check) {
        Ok(Ok(observed)) => Verdict::Pass(observed),
        Ok(Err(failure)) => Verdict::Fail(failure),
        Err(_) => anyhow::bail!("the check of {name} broke"),
    };
    let cleaned = before.clean_up();
    judge.cgroups.iter().for_each(|it| cgroup::remove(it));
    Ok(Told { verdict, cleaned })
}

impl Judge {
    fn begin(name: &str, errors: Errors) -> Result<Judge> {
        fs::create_dir_all(PLACE)?;
        for place in [PLACE, "/run/cache"] {
            let none = MsFlags::empty();
            mount(
                Some("exercise"),
                place,
                Some("tmpfs"),
                none,
                Some("mode=755"),
            )
            .with_context(|| format!("mount a tmpfs on {place}"))?;
        }
        let hostname = token();
        nix::unistd::sethostname(&hostname).context("name the host")?;
        let program = Path::new(PLACE).join(name);
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        fs::write(&program, bytes)?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        // A number of two digits, as everywhere else.
        for _ in std::process::id()..10 {
            look::output("true", &[""; 0]);
        }
        let host = Host::start()?;
        Ok(Judge {
            errors,
            program,
            host,
            root: None,
            cgroups: vec![],
            hostname,
        })
    }

    /// A directory with a shell and its tools, to be a root directory.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn root(&mut self) -> PathBuf {
        let make = || {
            let signals = Signals::none().expect("a signalfd");
            let quiet =
                Narrator::new(true, false, &signals).expect("our stderr");
            RootDirectory::open(&quiet, None, None).expect("a root directory")
        };
        self.root.get_or_insert_with(make).path().to_owned()
    }

    /// A directory of ours, empty.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        let directory = Path::new(PLACE).join(token());
        fs::create_dir(&directory).expect("make a directory");
        directory
    }

    /// A new cgroup in which this controller can be used.
    pub fn cgroup(&mut self, controller: &str) -> PathBuf {
        self.cgroups.push(cgroup::make(controller));
        self.cgroups[self.cgroups.len() - 1].clone()
    }

    /// A user and a group without privileges, and what starts a program as
    /// them. Where there is only one id, it is root's.
    #[must_use]
    pub fn somebody(&self) -> (u32, u32, Vec<String>) {
        if Need::Ids.lacks().is_some() {
            return (0, 0, vec![]);
        }
        let (uid, gid) = (number(2000, 1000), number(4000, 1000));
        let ids = format!("setpriv --reuid {uid} --regid {gid} --clear-groups");
        (uid, gid, ids.split(' ').map(str::to_owned).collect())
    }

    /// A file with content that nobody can guess: its path, its content.
    ///
    /// # Panics
    /// When it can't be written.
    #[must_use]
    pub fn secret(&self) -> (PathBuf, String) {
        let (file, content) = (self.directory().join("secret"), token());
        fs::write(&file, &content).expect("write a secret");
        (file, content)
    }

    /// Where the learner's program is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// The learner's program, about to start on the host.
    #[must_use]
    pub fn program(&self) -> Run {
        self.program_by::<&str>(&[])
    }

    /// The same, started by another program.
    #[must_use]
    pub fn program_by<S: AsRef<OsStr>>(&self, wrapper: &[S]) -> Run {
        Run::new(self.errors, self.host.pid(), &self.program, wrapper)
    }

    /// A process that does nothing: whatever it has, the host has.
    #[must_use]
    pub fn host(&self) -> i32 {
        self.host.pid()
    }

    /// Fails unless a process has a namespace that is not the host's.
    ///
    /// # Errors
    /// With this hint.
    pub fn namespace(
        &self,
        pid: i32,
        kind: &str,
        hint: &str,
    ) -> Result<String, Failure> {
        let its = proc::namespace(pid, kind);
        let hosts = proc::namespace(self.host(), kind);
        look::ensure(
            its != hosts,
            format!("/proc/{pid}/ns/{kind} is {its}: the host's own"),
            "a namespace other than the host's",
            hint,
        )?;
        Ok(format!("/proc/{pid}/ns/{kind} is {its}, the host's is {hosts}"))
    }

    /// Copies it into a directory, with its libraries, each to its own path.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn copy_program(&self, root: &Path) {
        let libraries = look::output("ldd", &[&self.program]);
        let libraries = libraries.split_whitespace();
        let libraries = libraries.filter(|word| word.starts_with('/'));
        let files = libraries.map(Path::new).chain([&*self.program]);
        for file in files {
            let place = root.join(file.strip_prefix("/").expect("a path"));
            fs::create_dir_all(place.parent().expect("a parent"))
                .expect("make a directory");
            if !place.exists() {
                fs::copy(file, place).expect("copy a file");
            }
        }
    }
}

/// A command that waits to be looked at, with a number that nobody can guess.
#[must_use]
pub fn waiting() -> Vec<String> {
    vec!["/bin/sleep".into(), number(10_000, 90_000).to_string()]
}

/// A random number out of `count` of them, from `first` on.
///
/// # Panics
/// Without /dev/urandom.
#[must_use]
pub fn number(first: u32, count: u32) -> u32 {
    let mut bytes = [0; 4];
    let mut random = fs::File::open("/dev/urandom").expect("/dev/urandom");
    random.read_exact(&mut bytes).expect("random bytes");
    first + u32::from_ne_bytes(bytes) % count
}
