//! What the container runs: its arguments, its environment, its directory.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, Uid, access, execve};

use crate::failure::{Failure, NOT_EXECUTABLE, NOT_FOUND};
use crate::quote::shell;

const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A variable for the command: `NAME=VALUE`, or `NAME` to pass the value of
/// the runtime's own environment on, as with docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    name: OsString,
    /// `None` if the runtime has no such variable either.
    value: Option<OsString>,
}

impl Variable {
    /// Of a feature.
    #[must_use]
    pub fn new(name: &str, value: impl Into<OsString>) -> Variable {
        Variable { name: name.into(), value: Some(value.into()) }
    }

    /// # Errors
    /// A text for the person who typed it, when there is no name.
    pub fn parse(text: OsString) -> Result<Variable, String> {
        let bytes = text.as_bytes();
        let (name, value) = match bytes.iter().position(|&b| b == b'=') {
            Some(at) => (
                &bytes[..at],
                Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned()),
            ),
            None => (bytes, std::env::var_os(&text)),
        };
        match name {
            [] => Err(
                "a variable has a name: NAME=VALUE, or NAME to pass on your own"
                    .into(),
            ),
            name => {
                Ok(Variable { name: OsStr::from_bytes(name).to_owned(), value })
            }
        }
    }
}

/// The home of a user, as the container's own /etc/passwd has it (passwd(5)).
/// `/` for one that is not there, as with docker. Inside, that file may be
/// anything: a pipe that nobody writes to, or without an end.
#[must_use]
pub fn home_of(uid: Uid) -> OsString {
    const LARGE: u64 = 1 << 20;
    let mut table = Vec::with_capacity(4096);
    let opened = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open("/etc/passwd");
    if let Ok(file) = opened
        && file.metadata().is_ok_and(|it| it.is_file())
    {
        let _ = file.take(LARGE).read_to_end(&mut table);
    }
    home_in(&table, uid)
}

fn home_in(table: &[u8], uid: Uid) -> OsString {
    let uid = uid.to_string();
    let mut lines = table.split(|&byte| byte == b'\n');
    let home = lines.find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':').skip(2);
        let same = fields.next()? == uid.as_bytes();
        same.then(|| fields.nth(2).unwrap_or_default())
    });
    match home {
        Some(home) if !home.is_empty() => OsStr::from_bytes(home).to_owned(),
        _ => "/".into(),
    }
}

/// The command, ready to be executed.
#[derive(Debug)]
pub struct Command {
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    /// Nobody asked for it: it is the default.
    is_default: bool,
}

impl Command {
    /// The environment begins clean: what the host's shell has in its
    /// variables (tokens, for one) is not the container's business.
    #[must_use]
    pub fn new(
        argv: &[OsString],
        default: &[OsString],
        variables: &[Variable],
        home: OsString,
    ) -> Command {
        let mut env = vec![("PATH".into(), PATH.into()), ("HOME".into(), home)];
        env.extend(std::env::var_os("TERM").map(|term| ("TERM".into(), term)));
        for Variable { name, value } in variables {
            env.retain(|(other, _)| other != name);
            env.extend(value.clone().map(|value| (name.clone(), value)));
        }
        let is_default = argv.is_empty();
        let argv = if is_default { default } else { argv }.to_vec();
        Command { argv, env, is_default }
    }

    /// The environment is all that somebody else has described.
    #[must_use]
    pub fn described(
        argv: &[OsString],
        variables: &[Variable],
        home: OsString,
    ) -> Command {
        let mut command = Command::new(argv, &[], variables, home);
        let was_said =
            |name: &OsStr| variables.iter().any(|it| it.name == name);
        command.env.retain(|(name, _)| name == "HOME" || was_said(name));
        Command { is_default: false, ..command }
    }

    /// The execve(2) of the command at `path`, and what a shell calls it.
    #[must_use]
    pub fn describe(&self, path: &Path) -> (String, String) {
        let call = format!("execve({path:?}, {:?}, …)", self.argv);
        (call, format!("exec {}", shell(&self.argv)))
    }

    /// Where the command lies inside the container.
    ///
    /// # Errors
    /// [`Failure::Command`] with status 127 when there is none, 126 when it
    /// can't be executed.
    pub fn find(&self) -> Result<PathBuf, Failure> {
        let name = self
            .argv
            .first()
            .ok_or_else(|| not_found("no command was named".to_owned()))?;
        let mut refused = None;
        for path in self.candidates() {
            let Ok(found) = path.metadata() else { continue };
            if found.is_file() && access(&path, AccessFlags::X_OK).is_ok() {
                return Ok(path);
            }
            refused.get_or_insert(path);
        }
        Err(match refused {
            Some(path) => not_executable(&path, why_refused(&path)),
            None if self.is_default => not_found(format!(
                "the root directory has no {}: name a command that it \
                     has, or leave out --rootfs",
                name.display()
            )),
            None => not_found(format!(
                "command {name:?} not found in the container: its root directory is not \
                 the host's (PATH inside is {:?})",
                self.path_variable()
            )),
        })
    }

    fn path_variable(&self) -> &OsStr {
        let path = self.env.iter().find(|(name, _)| name == "PATH");
        path.map_or(OsStr::new(""), |(_, value)| value)
    }

    fn candidates(&self) -> Vec<PathBuf> {
        let name = &self.argv[0];
        match name.as_bytes() {
            [] => vec![],
            bytes if bytes.contains(&b'/') => vec![PathBuf::from(name)],
            _ => std::env::split_paths(self.path_variable())
                .map(|dir| dir.join(name))
                .collect(),
        }
    }

    /// Replaces this process by the command at `path`
    /// ([execve(2)](https://man7.org/linux/man-pages/man2/execve.2.html)).
    ///
    /// # Errors
    /// [`Failure::Command`]: this only returns when it failed.
    pub fn exec(&self, path: &Path) -> Result<Infallible, Failure> {
        let path_c = c_string(path.as_os_str().to_owned())?;
        let argv = self
            .argv
            .iter()
            .cloned()
            .map(c_string)
            .collect::<Result<Vec<_>, _>>()?;
        let env = self.env.iter().map(|(name, value)| {
            c_string([name.as_os_str(), value].join(OsStr::new("=")))
        });
        let env = env.collect::<Result<Vec<_>, _>>()?;
        execve(&path_c, &argv, &env).map_err(|errno| match errno {
            // The file is there, we saw it: what is missing is what it names.
            Errno::ENOENT => not_found(format!(
                "execve({path:?}): ENOENT, although it exists: the interpreter or dynamic \
                 loader that it names is not in the root directory"
            )),
            Errno::ENOEXEC => not_executable(path, "ENOEXEC: neither a program for this machine nor a script with a #! line"),
            Errno::EACCES => not_executable(path, why_refused(path)),
            Errno::EPERM => not_executable(path, NOT_ALLOWED),
            errno => not_executable(path, &errno.to_string()),
        })
    }
}

const NOT_ALLOWED: &str = "EPERM: it asks for a capability that no program has \
    here (getcap shows which; --cap-add leaves it)";

fn c_string(text: OsString) -> Result<CString, Failure> {
    CString::new(text.into_vec()).map_err(|_| Failure::Command {
        status: NOT_EXECUTABLE,
        message: "a word of the command contains a NUL byte".into(),
    })
}

fn not_found(message: String) -> Failure {
    Failure::Command { status: NOT_FOUND, message }
}

/// The kernel has one errno for all of them.
fn why_refused(path: &Path) -> &'static str {
    let is_noexec = statvfs(path)
        .is_ok_and(|there| there.flags().contains(FsFlags::ST_NOEXEC));
    let is_program = path
        .metadata()
        .is_ok_and(|there| there.permissions().mode() & 0o111 != 0);
    if path.is_dir() {
        "EACCES: it is a directory; name a program in it"
    } else if is_noexec {
        "EACCES: it is on a noexec mount, where no program can be executed; \
         XDG_CACHE_HOME=DIR chooses another place for the default root \
         directory, and --rootfs DIR a root directory of your own"
    } else if is_program {
        "EACCES: this user may not execute it, or the interpreter that it \
         names; `ls -l` shows who may"
    } else {
        "EACCES: no permission to execute it (`chmod +x` gives it)"
    }
}

fn not_executable(path: &Path, reason: &str) -> Failure {
    Failure::Command {
        status: NOT_EXECUTABLE,
        message: format!("execve({path:?}): {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_may_have_a_value_with_an_equals_sign_or_none() {
        let parse = |text: &str| {
            Variable::parse(text.into()).map(|v| (v.name, v.value))
        };
        assert_eq!(parse("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(parse("A="), Ok(("A".into(), Some("".into()))));
        assert_eq!(
            parse("PATH"),
            Ok(("PATH".into(), std::env::var_os("PATH")))
        );
        assert!(parse("=b").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn a_home_is_the_first_that_the_table_has_for_the_user() {
        let table = b"# none\n\nroot:x:0:0:root:/r:/bin/sh\nshort:x:5\n\
                      a:x:7:7::/a:/bin/sh\nb:x:7:7::/b:\nno:x:8:8:::\nx:x:9:9:\xff:/\xff";
        let home = |uid| home_in(table, Uid::from_raw(uid));
        assert_eq!([0, 7].map(home), ["/r", "/a"]);
        assert_eq!([1, 5, 8].map(home), ["/"; 3]);
        assert_eq!(home(9), OsStr::from_bytes(b"/\xff"));
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let variables =
            ["PATH=/a", "PATH=/b"].map(|v| Variable::parse(v.into()).unwrap());
        let command =
            Command::new(&[], &["/bin/sh".into()], &variables, "/".into());
        assert_eq!(command.path_variable(), "/b");
        assert_eq!(command.argv, ["/bin/sh"]);
    }
}
