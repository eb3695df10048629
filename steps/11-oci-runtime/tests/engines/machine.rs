//! The machine of `scripts/engines.sh`: started once for all claims.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use testbed::{binary, checkout, eventually, needs, proc, skip, token};

/// What runs docker, ctr and podman.
pub struct Machine {
    script: Mutex<Child>,
    pub mark: String,
    /// Of a process in it, and whose that is.
    pid: i32,
    pub user: String,
    group: String,
    environment: BTreeMap<String, String>,
}

type Place = Mutex<Option<&'static Machine>>;
static MACHINE: Place = Mutex::new(None);
static ROOTLESS: Place = Mutex::new(None);

/// The one of all claims.
pub fn machine() -> &'static Machine {
    needs_engines();
    of_all(&MACHINE, &[])
}

/// The same, even where each command takes seconds.
pub fn machine_anywhere() -> &'static Machine {
    needs_the_programs();
    of_all(&MACHINE, &[])
}

/// The one of all claims about engines of an ordinary user.
pub fn rootless_machine() -> &'static Machine {
    needs_engines();
    of_all(&ROOTLESS, &["--rootless"])
}

/// Whoever skips has done so: that is a panic, and here a lock is held.
fn of_all(place: &Place, options: &[&str]) -> &'static Machine {
    let mut machine = place.lock().expect("the machine");
    // A claim that hung has taken it along.
    machine.take_if(|it| !proc::runs(it.pid));
    machine.get_or_insert_with(|| Box::leak(Box::new(Machine::start(options))))
}

/// The one of all claims, which ends: the next claim starts another.
pub fn last_machine() -> &'static Machine {
    let machine = machine();
    *MACHINE.lock().expect("the machine") = None;
    machine
}

/// The same for the engines of an ordinary user.
pub fn last_rootless_machine() -> &'static Machine {
    let machine = rootless_machine();
    *ROOTLESS.lock().expect("the machine") = None;
    machine
}

/// A machine that is short of time judges one claim, for all.
pub fn needs_engines() {
    needs_the_programs();
    needs::time();
}

fn needs_the_programs() {
    needs::host_root();
    let mut check = Command::new(checkout().join("scripts/engines.sh"));
    if !check.arg("--check").output().is_ok_and(|it| it.status.success()) {
        skip("needs engines: ./scripts/engines.sh --get");
    }
}

impl Machine {
    pub fn start(options: &[&str]) -> Machine {
        let script = checkout().join("scripts/engines.sh");
        let mark = token();
        let runtime = binary("11-oci-runtime");
        let mut script = Command::new(script)
            .args(options)
            .args(["--", "sh", "-c", "echo ready; read end"])
            .env("WORKSHOP_BIN", runtime.parent().expect("its directory"))
            .env("MACHINE", &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("engines.sh");
        let mut line = String::new();
        let said = script.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let own = proc::own_namespace("pid");
        let is_shell = |pid: &i32| {
            proc::status(*pid, "Name").as_deref() == Some("sh")
                && proc::namespace(*pid, "pid") != own
        };
        let pid = proc::marked(&mark).into_iter().find(is_shell);
        let pid = pid.expect("a shell inside");
        let user = proc::status(pid, "Uid").expect("a user");
        let user = user.split_whitespace().next().expect("a number");
        let text = fs::read(format!("/proc/{pid}/environ")).expect("environ");
        let text = String::from_utf8_lossy(&text).into_owned();
        let environment = text
            .split('\0')
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Machine {
            group: format!("engines-{}", script.id()),
            script: Mutex::new(script),
            pid,
            user: user.to_owned(),
            mark,
            environment: environment.collect(),
        }
    }

    /// A command in it. It joins the cgroups first, as if started there.
    pub fn command(&self, words: &[&str]) -> Command {
        const ENTER: &str = "for place in \
             /sys/fs/cgroup/*/$1 /sys/fs/cgroup/$1/engines \
             /sys/fs/cgroup/$1/learner/own; do \
             [ ! -e $place/cgroup.procs ] || echo $$ >$place/cgroup.procs; \
             done; shift; exec nsenter --all --wd=/ --target \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", ENTER, "sh", &self.group]);
        command.arg(self.pid.to_string());
        command.args(["--setuid", &self.user, "--setgid", &self.user, "--"]);
        command.args(words);
        command.env_clear().envs(&self.environment).stdin(Stdio::null());
        command
    }

    pub fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("start")
    }

    /// What a command says that succeeds.
    pub fn done(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout)
    }

    /// The exit status of a command, and all that it says.
    pub fn ends(&self, words: &[&str]) -> (i32, String) {
        let output = self.output(words);
        let status = output.status.code().expect("an exit status");
        (status, text(&output.stdout) + &text(&output.stderr))
    }

    /// What a command says that has this to read.
    pub fn told(&self, words: &[&str], input: &str) -> String {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).expect("write");
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout)
    }

    /// Ends as when somebody leaves the shell, or pulls the plug.
    pub fn end(&self, killed: bool) {
        let mut script = self.script.lock().expect("the script");
        if killed {
            script.kill().expect("kill");
        }
        drop(script.stdin.take());
        script.wait().expect("its end");
        eventually("the end of all processes", || {
            proc::marked(&self.mark).is_empty().then_some(())
        });
        eventually("the end of all cgroups", || {
            testbed::watch::cgroups_named(&self.group).is_empty().then_some(())
        });
    }
}

/// The first process of the container that has this word in its environment.
pub fn first(mark: &str) -> i32 {
    eventually("the first process", || {
        proc::marked(mark).into_iter().find(|&pid| {
            proc::status(pid, "NSpid").is_some_and(|it| it.ends_with("\t1"))
        })
    })
}

/// A limit as it stands in the cgroup of a process: its file of v1, and of v2.
pub fn limit(pid: i32, v1: &str, v2: &str) -> String {
    let file = cgroup_file(pid, v1, v2);
    let text = fs::read_to_string(&file);
    text.unwrap_or_else(|e| panic!("{file}: {e}")).trim().to_owned()
}

/// Its path.
pub fn cgroup_file(pid: i32, v1: &str, v2: &str) -> String {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let table = table.expect("its cgroups");
    let controller = v1.split('.').next().expect("a controller");
    let place = table.lines().find_map(|line| {
        let (names, place) = line.split_once(':')?.1.split_once(':')?;
        (names == controller).then(|| format!("{controller}{place}/{v1}"))
    });
    let unified = || {
        let line = table.lines().find_map(|line| line.strip_prefix("0::"));
        line.map(|place| format!("{place}/{v2}")).expect("a cgroup")
    };
    let place = place.unwrap_or_else(unified);
    format!("/sys/fs/cgroup/{place}")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().replace('\r', "")
}
