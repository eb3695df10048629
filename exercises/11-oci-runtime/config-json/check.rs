//! Gives what the program has written to the runtime of step 11, and looks at
//! the container.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testbed::{proc, token};

use crate::judge::look::{
    all_mounts, ensure, output, show, soon, who_executes, within,
};
use crate::judge::{Failure, Judge, how, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "config-json",
    formerly: &[],
    step: "11-oci-runtime",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Two kinds are missing in the first list: one is named as in step 02, \
         the other as in step 03.",
        "\"uts\" and \"pid\". And the second text is \
         { \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\" }.",
    ],
    needs: &[Need::Programs],
    errors: &[],
    wrong: &[
        Wrong {
            name: "no-namespace-for-its-name",
            change: &[("\"mount\", \"uts\", \"pid\"", "\"mount\", \"pid\"")],
            hint: REFUSED,
        },
        Wrong {
            name: "the-hosts-processes",
            change: &[("\"mount\", \"uts\", \"pid\"", "\"mount\", \"uts\"")],
            hint: PID,
        },
        Wrong {
            name: "no-proc",
            change: &[(
                "r#\"{ \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\" }\"#",
                "\"\"",
            )],
            hint: PROC,
        },
        Wrong {
            name: "the-hosts-proc",
            change: &[(
                "\"type\": \"proc\", \"source\": \"proc\" }",
                "\"type\": \"bind\", \"source\": \"/proc\", \"options\": [\"rbind\"] }",
            )],
            hint: PROC,
        },
        Wrong {
            name: "a-root-that-is-written-to",
            change: &[("\"readonly\": true", "\"readonly\": false")],
            hint: ROOT,
        },
        Wrong {
            name: "another-name",
            change: &[("\"hostname\": {name:?}", "\"hostname\": \"box\"")],
            hint: NAME,
        },
        Wrong {
            name: "one-word",
            change: &[
                ("{command:?}", "[{:?}]"),
                (
                    "}}\n\"#\n    );",
                    "}}\n\"#,\n        command.join(\" \")\n    );",
                ),
            ],
            hint: REFUSED,
        },
        Wrong {
            name: "written-elsewhere",
            change: &[("join(\"config.json\")", "join(\"config\")")],
            hint: FILE,
        },
    ],
    check,
};

const FILE: &str = "The file is named config.json, and lies in BUNDLE: the \
                    first argument.";
const REFUSED: &str = "The runtime says what it can't make, and where it \
                       stands in the file. A hostname takes a namespace of \
                       the kind uts, and args is a list of words.";
const PID: &str = "A kind that is not in linux.namespaces is the host's. The \
                   host's processes are not root's of this user namespace, \
                   so the kernel refuses a /proc that would show them. The \
                   kind is named pid.";
const PROC: &str = "Without an entry in mounts there is no /proc, and a bind \
                    mount of the host's shows the host's processes. A mount \
                    of the type proc shows those of the container.";
const ROOT: &str = "root.readonly is true or false, and its default is false: \
                    then the command can write into the root directory.";
const NAME: &str = "The hostname is NAME: the second argument.";

/// The runtime, and a container of it. Dropped, nothing of it is left.
struct Container {
    bundle: PathBuf,
    id: String,
}

impl Container {
    /// Runs a command of the runtime's. What went wrong is what it said.
    fn asks(&self, what: &[&str]) -> Result<(), String> {
        let own = std::env::current_exe().expect("our own path");
        let said = self.bundle.join("said");
        let stderr = File::create(&said).expect("make a file");
        let status = Command::new(own.with_file_name("11-oci-runtime"))
            .arg("--root")
            .arg(self.bundle.join("state"))
            .args(what)
            .arg(&self.id)
            .current_dir(&self.bundle)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .status();
        let status = status.expect("start the runtime");
        let said = fs::read_to_string(&said).unwrap_or_default();
        // A directory of the judge's says nothing to anybody.
        let said = said.replace(&show(&self.bundle), "BUNDLE");
        status.success().then_some(()).ok_or(said.trim_end().to_owned())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.asks(&["delete", "--force"]);
    }
}

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (name, command, bundle) = (token(), waiting(), judge.directory());
    let root = bundle.join("rootfs");
    output("cp", &["-a", &show(&judge.root()), &show(&root)]);
    let mut run = judge.program();
    run = run.args([&show(&bundle), &name]).args(&command).start();
    let ended = run.ends()?;
    ensure(
        ended.status.success() && bundle.join("config.json").exists(),
        format!(
            "your program: {}; in BUNDLE is: {}",
            how(ended.status),
            output("ls", &[&bundle]).replace('\n', ", ")
        ),
        "exit status 0, and a config.json",
        FILE,
    )?;
    let container = Container { bundle, id: token() };
    for what in ["create", "start"] {
        container.asks(&[what]).map_err(|said| {
            let hint = if said.contains("/proc") { PID } else { REFUSED };
            let observed = format!("the runtime says: {said}");
            Failure::new(observed, "a container", hint)
        })?;
    }
    soon(|| who_executes(&command).is_some());
    let pid = who_executes(&command).ok_or_else(|| {
        Failure::new(
            "the container has ended",
            format!("`{}`", command.join(" ")),
            REFUSED,
        )
    })?;
    judge.namespace(pid, "pid", PID)?;
    let hostname = within(pid, "uts", &["hostname"]);
    ensure(
        hostname == name,
        format!("its hostname is {hostname}"),
        name,
        NAME,
    )?;
    let mounts = all_mounts(pid);
    let at = |place: &str| {
        let mut all = mounts.iter().filter(|it| it.place == place);
        all.next_back()
    };
    let (proc, root) = (at("/proc"), at("/"));
    let has_proc = proc.is_some_and(|it| it.kind == "proc");
    let first = fs::read_to_string(format!("/proc/{pid}/root/proc/1/comm"));
    let first = first.unwrap_or_else(|_| "nobody".to_owned());
    ensure(
        has_proc && first.trim() == "sleep",
        format!("in its /proc, number 1 is: {}", first.trim()),
        "sleep",
        PROC,
    )?;
    let read_only =
        root.is_some_and(|it| it.options.iter().any(|it| it == "ro"));
    ensure(read_only, "its root is read-write", "read-only", ROOT)?;
    let users = proc::namespace(pid, "user");
    Ok(format!("a container named {hostname}: its user namespace is {users}"))
}
