//! A bundle for one claim, and the runtime's commands for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use testbed::{binary, copy_default_root, eventually, token};

/// A container of this claim. Dropped, nothing of it is left.
pub struct Bundle {
    pub directory: tempfile::TempDir,
    pub config: Value,
    pub id: String,
    /// The runtime.
    pub program: PathBuf,
}

impl Bundle {
    /// What `spec` writes, with the default root directory.
    pub fn new() -> Bundle {
        Bundle::of(&["spec"], copy_default_root)
    }

    /// With another root directory, or for an ordinary user.
    pub fn of(words: &[&str], fill: impl Fn(&Path)) -> Bundle {
        let directory = tempfile::tempdir().expect("a directory");
        let id = token();
        let mut spec = Command::new(binary("11-oci-runtime"));
        spec.args(words).arg("--bundle").arg(directory.path());
        assert!(spec.status().expect("spec").success());
        let text = fs::read(directory.path().join("config.json"));
        let mut config: Value =
            serde_json::from_slice(&text.expect("config.json")).expect("JSON");
        fill(&directory.path().join("rootfs"));
        config["root"] = json!({ "path": "rootfs" });
        config["hostname"] = json!(id);
        let program = binary("11-oci-runtime");
        let mut bundle = Bundle { directory, config, id, program };
        bundle.sh("true");
        bundle
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// What the file is, once somebody has written it.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The command is a shell's.
    pub fn sh(&mut self, script: &str) -> &mut Bundle {
        self.set("/process/args", json!(["/bin/sh", "-c", script]))
    }

    /// Sets a value in the configuration, by its JSON pointer.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Bundle {
        if let Some(there) = self.config.pointer_mut(pointer) {
            *there = value;
            return self;
        }
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = self.config.pointer_mut(parent).expect("a parent");
        parent[name] = value;
        self
    }

    /// Adds to a list of it.
    pub fn push(&mut self, pointer: &str, value: Value) -> &mut Bundle {
        let list = self.config.pointer_mut(pointer).expect("a list");
        list.as_array_mut().expect("a list").push(value);
        self
    }

    /// Of the namespaces, without this kind.
    pub fn without(&mut self, kind: &str) -> &mut Bundle {
        let list = self.config.pointer_mut("/linux/namespaces");
        let list = list.and_then(Value::as_array_mut).expect("a list");
        list.retain(|it| it["type"] != kind);
        self
    }

    /// A command of the runtime's, with the configuration written.
    pub fn runtime(&self) -> Command {
        let text = serde_json::to_vec(&self.config).expect("JSON");
        fs::write(self.file("config.json"), text).expect("config.json");
        self.runtime_as_it_is()
    }

    /// The same, with the configuration that is there.
    pub fn runtime_as_it_is(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.file("state"));
        command.arg("--log").arg(self.file("log.json"));
        command.args(["--log-format", "json"]).current_dir(self.path());
        command
    }

    /// Runs a command about this container.
    pub fn command(&self, words: &[&str]) -> Output {
        self.command_with(words, &[])
    }

    /// The same, with words behind its name.
    pub fn command_with(&self, words: &[&str], behind: &[&str]) -> Output {
        let mut runtime = self.runtime();
        let out = || {
            let place = self.file("out");
            let opened = File::options().append(true).create(true).open(place);
            opened.expect("out")
        };
        // What stays has its stdout: a pipe would not end.
        let is_create = words[0] == "create" || words.contains(&"--detach");
        if is_create {
            runtime
                .stdout(out())
                .stderr(File::create(self.file("err")).expect("err"));
        }
        runtime.args(words).arg(&self.id).args(behind).stdin(Stdio::null());
        let mut output = runtime.output().expect("start the runtime");
        if is_create {
            output.stderr = self.text("err").into();
        }
        output
    }

    /// The same, which must succeed, and says this.
    pub fn done(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The same, with words behind its name.
    pub fn done_with(&self, words: &[&str], behind: &[&str]) -> String {
        let output = self.command_with(words, behind);
        assert!(output.status.success(), "{words:?} {behind:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// What a shell inside says: one more process.
    pub fn exec(&self, script: &str) -> String {
        self.done_with(&["exec"], &["/bin/sh", "-c", script])
    }

    /// The same, which must fail, and says this.
    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert!(!output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
    }

    /// Runs it to its end: what its command says.
    pub fn run(&self) -> String {
        self.done(&["run"])
    }

    /// Creates it and starts it, and waits until its command says `ready`.
    pub fn start(&mut self, script: &str) -> i32 {
        self.sh(&format!("{script}; echo ready; exec sleep 1000"));
        self.done(&["create", "--pid-file", "pid"]);
        self.done(&["start"]);
        eventually("ready", || {
            self.text("out").contains("ready").then_some(())
        });
        self.pid()
    }

    pub fn pid(&self) -> i32 {
        self.text("pid").parse().expect("a pid file")
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.done(&["state"])).expect("JSON")
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    pub fn becomes(&self, status: &str) {
        eventually(status, || (self.status() == status).then_some(()));
    }

    /// The last line of the log.
    pub fn logged(&self) -> Value {
        let log = self.text("log.json");
        let last = log.lines().last().unwrap_or_else(|| panic!("no log"));
        serde_json::from_str(last).expect("JSON")
    }

    /// Where nothing is left of it.
    pub fn assert_gone(&self) {
        assert!(!self.file("state").join(&self.id).exists());
        let left = testbed::watch::cgroups_named(&self.id);
        assert_eq!(left, Vec::<PathBuf>::new());
        let marked = testbed::proc::marked(&self.id);
        assert_eq!(marked, Vec::<i32>::new());
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force"]);
    }
}
