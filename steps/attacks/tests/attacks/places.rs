//! Where an attack is tried, and how it is judged.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use attacks::{Attack, StoppedBy};
use tempfile::TempDir;
use testbed::{Step, binary, host, token};

/// The steps that there are, the first one first.
pub const STEPS: [&str; 4] =
    ["01-chroot", "02-uts-namespace", "03-pid-namespace", "04-mount-namespace"];

/// Where an attack is tried.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// In no container at all.
    Host,
    /// In a container that was made by hand, with a well-known mistake.
    ByHand,
    /// In the step of this number, with these options.
    Step(usize, &'static [&'static str]),
}

impl Place {
    /// The attack there, ready to be started.
    pub fn prepare(self, attack: &str, arguments: &[&str]) -> Step {
        let Place::Step(number, options) = self else {
            panic!("{self:?} has no step")
        };
        Step::new(STEPS[number - 1])
            .args(options)
            .args(["--", "attack", attack])
            .args(arguments)
    }

    /// The attack there, to its end.
    pub fn attack(self, attack: &str, arguments: &[&str]) -> Output {
        match self {
            Place::Step(..) => self.prepare(attack, arguments).output(),
            _ => Command::new(binary("attack"))
                .arg(attack)
                .args(arguments)
                .stdin(Stdio::null())
                .output()
                .expect("start attack"),
        }
    }

    /// What it is called in the matrix.
    pub fn name(self) -> String {
        match self {
            Place::Host => "no container".into(),
            Place::ByHand => "by hand".into(),
            Place::Step(number, options) => {
                let step = &STEPS[number - 1][..2];
                [&[step], options].concat().join(" ")
            }
        }
    }

    /// Whether what stops the attack is there.
    fn stops(self, attack: &Attack) -> bool {
        match (self, attack.stopped) {
            (Place::Step(..), StoppedBy::Runtime) => true,
            (Place::Step(number, _), StoppedBy::Step(from)) => {
                number >= usize::from(from)
            }
            (Place::Step(number, options), StoppedBy::Option(from, option)) => {
                number < usize::from(from) || options.contains(&option)
            }
            (Place::Host | Place::ByHand, _) => false,
        }
    }
}

/// Each step as it is started without options.
pub fn steps() -> impl Iterator<Item = Place> {
    (1..=STEPS.len()).map(|number| Place::Step(number, &[]))
}

/// The attack of this name.
pub fn known(name: &str) -> &'static Attack {
    attacks::find(name).unwrap_or_else(|| panic!("no attack {name}"))
}

/// Fails unless the attack went at this place as its own data says. `seen`:
/// whether the host saw it work.
pub fn judge(name: &str, place: Place, said: &str, seen: bool) {
    let attack = known(name);
    let expected = !place.stops(attack);
    let at = place.name();
    assert_eq!(
        seen, expected,
        "{name} at {at}: seen from outside; it says: {said}"
    );
    let words: &[&str] = match expected {
        true => &["WORKED: ", "DONE: "],
        false => &["STOPPED: ", "DONE: "],
    };
    let verdict = said.lines().nth(1).unwrap_or_default();
    assert!(
        words.iter().any(|word| verdict.starts_with(word)),
        "{name} at {at} says {said:?}, the host saw {seen}"
    );
    record(name, &at, seen);
}

/// The same for an attack that came to its end: its exit status too.
pub fn judge_output(name: &str, place: Place, output: &Output, seen: bool) {
    let said = stdout(output);
    judge(name, place, &said, seen);
    let stopped = said.contains("\nSTOPPED: ");
    assert_eq!(output.status.code(), Some(stopped.into()), "{output:?}");
}

/// A line for the matrix, where ATTACK_MATRIX names a file.
pub fn record(name: &str, place: &str, worked: bool) {
    let Some(file) = std::env::var_os("ATTACK_MATRIX") else {
        return;
    };
    let word = if worked { "works" } else { "stopped" };
    let file = OpenOptions::new().append(true).create(true).open(file);
    file.and_then(|mut file| writeln!(file, "{name}\t{place}\t{word}"))
        .expect("write ATTACK_MATRIX");
}

/// What a program said.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of the host with a content that nobody can guess.
pub struct Secret {
    pub file: String,
    pub content: String,
}

impl Secret {
    pub fn new() -> Secret {
        let secret =
            Secret { file: format!("/etc/{}", token()), content: token() };
        fs::write(&secret.file, &secret.content).expect("write a secret");
        secret
    }

    /// Whether somebody who could not guess it said it.
    pub fn is_told_by(&self, output: &Output) -> bool {
        stdout(output).contains(&self.content)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// A root directory of our own: a copy of the default one.
pub struct Root(TempDir);

impl Root {
    pub fn new() -> Root {
        let _ = Step::new(STEPS[0]).sh("true").stdout();
        let default = fs::read_dir(host::cache()).expect("the cache");
        let default = default
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.join("bin/attack").exists());
        let root = TempDir::new().expect("a directory");
        let copy = run(
            "cp",
            [
                "-a".as_ref(),
                default.expect("a default root directory").join(".").as_path(),
                root.path(),
            ],
        );
        assert!(copy.status.success(), "{copy:?}");
        Root(root)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn text(&self) -> String {
        self.path().display().to_string()
    }

    /// A step in it, with the attack as its command.
    pub fn step(
        &self,
        number: usize,
        attack: &str,
        arguments: &[&str],
    ) -> Step {
        Step::new(STEPS[number - 1])
            .args(["--rootfs".as_ref(), self.path().as_os_str()])
            .args(["--", "attack", attack])
            .args(arguments)
    }
}

/// Runs a program of the host to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// A mount of the test's own, gone with it.
pub struct Mount(PathBuf);

impl Mount {
    pub fn bind(source: &str, target: PathBuf) -> Mount {
        let source = source.as_ref();
        let bound =
            run("mount", ["--rbind".as_ref(), source, target.as_path()]);
        assert!(bound.status.success(), "{bound:?}");
        // What is shared would be unmounted on the host, too.
        run("mount", ["--make-rprivate".as_ref(), target.as_path()]);
        Mount(target)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", ["-l".as_ref(), self.0.as_os_str()]);
    }
}
