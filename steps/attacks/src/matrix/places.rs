//! Where an attack is tried, and what a proof needs there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use attacks::LAB_BOOT;
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::Pid;
use tempfile::TempDir;
pub use testbed::ALL_STEPS as STEPS;
use testbed::{Running, Step, binary, needs, proc, token};

/// Why something can't be measured here.
#[derive(Debug)]
pub struct Impossible(pub String);

/// Whether it worked, as seen from outside.
pub type Verdict = Result<bool, Impossible>;

pub fn impossible<T>(reason: impl Into<String>) -> Result<T, Impossible> {
    Err(Impossible(reason.into()))
}

/// Where an attack is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The step's number; 0 for no container of ours.
    pub step: usize,
    /// With the option that stops it.
    pub with_option: bool,
    /// With options that take a wall away again.
    pub given_back: &'static [&'static str],
}

impl Place {
    pub const OUTSIDE: Place = Place::at(0);

    pub const fn at(step: usize) -> Place {
        Place { step, with_option: false, given_back: &[] }
    }

    /// The step there, ready to be started.
    pub fn step(self) -> Step {
        let step = STEPS[self.step.checked_sub(1).expect("a step")];
        Step::new(step).args(self.options())
    }

    /// What every container is told there. From step 09 on it can't see that
    /// this is the lab.
    fn options(self) -> impl Iterator<Item = String> {
        let lab = (self.step >= 9 && needs::in_the_lab()).then(|| {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
            format!("--env={LAB_BOOT}={}", boot.expect("its number").trim())
        });
        let given_back = self.given_back.iter().map(|it| (*it).to_owned());
        given_back.chain(lab)
    }

    /// The attack there, to its end.
    pub fn attack(self, name: &str, arguments: &[&str]) -> Output {
        self.spawn(name, arguments).wait_with_output().expect("wait for it")
    }

    /// The attack there, while we do something else.
    pub fn spawn(self, name: &str, arguments: &[&str]) -> Child {
        let mut command = match self.step {
            0 => Command::new(binary("attack")),
            number => Command::new(binary(STEPS[number - 1])),
        };
        if self.step > 0 {
            command.arg("--quiet").args(self.options());
            command.args(["--", "attack"]);
        }
        let command = command.arg(name).args(arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).spawn().expect("start the attack")
    }

    /// The step with the attack as its command.
    pub fn command(self, name: &str, arguments: &[&str]) -> Step {
        self.step().args(["--", "attack", name]).args(arguments)
    }

    /// The same with `--init`, if that is the option.
    pub fn with_init(self) -> Step {
        self.step().args(self.with_option.then_some("--init"))
    }
}

/// What the host saw, unless the attack says otherwise: then either it or its
/// proof is broken.
pub fn judge(output: &Output, seen: bool) -> Verdict {
    let said = stdout(output);
    let stopped = said.contains("\nSTOPPED: ");
    assert_eq!(output.status.code(), Some(stopped.into()), "{output:?}");
    judge_words(&said, seen)
}

/// The same for one that has not ended.
pub fn judge_words(said: &str, seen: bool) -> Verdict {
    let words: &[&str] = match seen {
        true => &["WORKED: ", "DONE: "],
        false => &["STOPPED: ", "DONE: "],
    };
    let verdict = said.lines().nth(1).unwrap_or_default();
    assert!(
        words.iter().any(|word| verdict.starts_with(word)),
        "it says {said:?}; the host saw it work: {seen}"
    );
    Ok(seen)
}

/// How long an attack stays after its verdict, in seconds. Nobody waits so
/// long: it is looked at, and ended.
pub const STAY: &str = "30";

/// An attack that has said its verdict, and is there to be looked at.
pub struct Staying {
    pub container: Running,
    said: String,
}

impl Staying {
    /// Its last argument is how long it stays.
    pub fn begin(place: Place, name: &str, arguments: &[&str]) -> Staying {
        let step = match place.step {
            0 => Step::program(&text(binary("attack"))).args([name]),
            _ => place.step().args(["--", "attack", name]),
        };
        Staying::of(step.args(arguments).args([STAY]))
    }

    /// A step with such a command.
    pub fn of(step: Step) -> Staying {
        let mut container = step.start();
        let said = [container.line(), container.line()].join("\n");
        Staying { container, said }
    }

    /// The attack's process, and those that it has started.
    pub fn processes(&self) -> Vec<i32> {
        let runtime = self.container.runtime();
        let all = descendants(runtime).into_iter().chain([runtime]);
        let is_attack = |pid: &i32| {
            let name = proc::status(*pid, "Name").unwrap_or_default();
            name.starts_with("attack")
        };
        all.filter(is_attack).collect()
    }

    /// As [`judge_words`]; and what this machine lacks, no container stops.
    pub fn judge(&self, seen: bool) -> Verdict {
        match self.said.split_once("\nCAN'T BE TRIED: ") {
            Some((_, reason)) => impossible(reason),
            None => judge_words(&self.said, seen),
        }
    }
}

/// Below step 03 nothing ends it with its runtime.
impl Drop for Staying {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// What a program said.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program of the host to its end.
pub fn run<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Output {
    let program = program.as_ref();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program:?}: {e}"))
}

/// Not by ourselves: another thread may fork while the file is open for writing,
/// and then nobody can execute it (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) {
    let copied = run("cp", ["--dereference".as_ref(), from, to]);
    assert!(copied.status.success(), "{copied:?}");
}

/// Only root can prepare this.
pub fn need_root() -> Result<(), Impossible> {
    match needs::is_root() {
        true => Ok(()),
        false => impossible("root prepares this on the host"),
    }
}

/// With only one id, root inside and root outside are the same.
pub fn need_other_ids() -> Result<(), Impossible> {
    need_root()?;
    match std::env::var("PLAYGROUND_IDS").as_deref() == Ok("1") {
        true => impossible("there is one user id only: no /etc/subuid range"),
        false => Ok(()),
    }
}

/// A host that may be broken: what happens there is thrown away.
pub fn is_disposable() -> bool {
    std::env::var_os("PLAYGROUND").is_some() || needs::in_the_lab()
}

pub fn need_disposable_host() -> Result<(), Impossible> {
    match is_disposable() {
        true => Ok(()),
        false => impossible("this would touch the host's real network"),
    }
}

/// A program on the PATH.
pub fn need_command(name: &str) -> Result<PathBuf, Impossible> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| Impossible(format!("the program {name} is missing")))
}

pub fn directory() -> TempDir {
    TempDir::new().expect("a directory")
}

/// On a mount without that flag: many systems have a /tmp where no file gives
/// power.
pub fn directory_without(flag: FsFlags) -> Result<TempDir, Impossible> {
    let has = |place: &TempDir| {
        let flags = statvfs(place.path()).expect("statvfs").flags();
        flags.contains(flag)
    };
    let places = [std::env::temp_dir(), "/var/tmp".into()];
    let mut made = places.iter().flat_map(TempDir::new_in);
    let found = made.find(|place| !has(place));
    let why = "all temporary files are on mounts with nosuid or nodev";
    found.ok_or_else(|| Impossible(why.to_owned()))
}

pub fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// A file of the host with content that nobody can guess.
pub struct Secret {
    pub file: String,
    content: String,
}

impl Secret {
    pub fn new() -> Secret {
        let place = match needs::is_root() {
            true => "/etc".into(),
            false => std::env::temp_dir(),
        };
        let secret =
            Secret { file: text(place.join(token())), content: token() };
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

/// A cache of our own: the default root directory in it is shared by the
/// containers of one proof, and by no others.
pub struct Cache(TempDir);

impl Cache {
    pub fn new() -> Cache {
        Cache(directory())
    }

    pub fn for_step(&self, mut step: Step) -> Step {
        step.command().env("XDG_CACHE_HOME", self.0.path());
        step
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The root directory that a step has made there. From step 10 on, its
    /// programs are the host's, and the attack lies beside them.
    pub fn root(&self) -> PathBuf {
        const ATTACKS: [&str; 2] = ["bin/attack", "opt/workshop/attack"];
        let own = self.0.path().join("container-workshop");
        let made = fs::read_dir(own).into_iter().flatten().flatten();
        made.map(|entry| entry.path())
            .find(|path| ATTACKS.iter().any(|it| path.join(it).exists()))
            .expect("a default root directory")
    }
}

/// A root directory of our own, made as the default one is.
pub struct Root(Cache);

impl Root {
    pub fn new() -> Root {
        Root::in_a(directory())
    }

    pub fn in_a(directory: TempDir) -> Root {
        let maker = STEPS[if needs::is_root() { 0 } else { 4 }];
        let cache = Cache(directory);
        let step = cache.for_step(Step::new(maker));
        let _ = step.args(["--", "true"]).stdout();
        Root(cache)
    }

    pub fn path(&self) -> PathBuf {
        self.0.root()
    }

    pub fn text(&self) -> String {
        text(self.path())
    }

    /// A step in it, with the attack as its command.
    pub fn command(&self, place: Place, name: &str, given: &[&str]) -> Step {
        let step = place.step().arg("--rootfs", self.path());
        step.args(["--", "attack", name]).args(given)
    }

    /// The attack in it, by chroot(1).
    pub fn by_hand(&self, name: &str, arguments: &[&str]) -> Output {
        let start = [&*self.text(), "/bin/attack", name];
        run("chroot", [&start, arguments].concat())
    }
}

/// A mount of our own, gone with it.
pub struct Mount(PathBuf);

impl Mount {
    pub fn bind(source: impl AsRef<Path>, target: PathBuf) -> Mount {
        let source = source.as_ref();
        let bound =
            run("mount", ["--rbind".as_ref(), source, target.as_path()]);
        assert!(bound.status.success(), "{bound:?}");
        // What is shared would be unmounted on the host, too.
        run("mount", ["--make-rprivate".as_ref(), target.as_path()]);
        Mount(target)
    }

    pub fn read_only(source: impl AsRef<Path>, target: PathBuf) -> Mount {
        let mount = Mount::bind(source, target);
        let place = mount.0.as_os_str();
        let done =
            run("mount", ["-o".as_ref(), "remount,bind,ro".as_ref(), place]);
        assert!(done.status.success(), "{done:?}");
        mount
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", ["-l".as_ref(), self.0.as_os_str()]);
    }
}

/// Whether it is still so after that time. What is seen to end has ended; what
/// goes on gets enough time to end.
pub fn stays(so: impl Fn() -> bool, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while so() {
        if Instant::now() > end {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}

/// All processes below this one.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = proc::children(pid);
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(proc::children(pid));
        next += 1;
    }
    found
}
