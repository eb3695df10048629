//! Claims about `--systemd-cgroup`: a machine's systemd, and a user's own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use serde_json::json;
use testbed::{eventually, needs, proc, skip, token};

use crate::bundle::Bundle;
use crate::of_a_user;

const BOOTED: &str = "/run/systemd/system";

fn needs_systemd() {
    let is_v2 = needs::is_cgroup_v2();
    if !is_v2 || !Path::new(BOOTED).is_dir() {
        skip("needs a machine that systemd has booted, with cgroup v2");
    }
    if !needs::in_first_user_namespace() {
        skip("needs the machine's own systemd, or a user's");
    }
    needs::command("busctl");
}

pub fn systemd_makes_the_cgroup() {
    needs::host_root();
    needs_systemd();
    scope(Bundle::new, "--system", "system.slice");
}

pub fn a_user_has_a_scope_of_their_own_systemd() {
    needs::ordinary_user();
    needs_systemd();
    scope(of_a_user, "--user", "user.slice");
}

fn scope(bundle: impl Fn() -> Bundle, manager: &str, slice: &str) {
    let mut container = bundle();
    let unit = format!("box-{}.scope", container.id);
    let path = json!(format!("{slice}:box:{}", container.id));
    let pids = 50 + i64::from_str_radix(&token()[1..3], 16).expect("hex");
    container.set("/linux/cgroupsPath", path.clone());
    let limits =
        json!({ "pids": { "limit": pids }, "memory": { "limit": 64 << 20 } });
    container.set("/linux/resources", limits);
    container.sh("exec sleep 1000");
    let create = ["create", "--systemd-cgroup", "--pid-file", "pid"];
    container.done(&create);
    container.done(&["start"]);
    let of = |pid: i32| {
        let table = fs::read_to_string(format!("/proc/{pid}/cgroup"));
        table.expect("a table").trim().replace("0::", "/sys/fs/cgroup")
    };
    let place = of(container.pid());
    assert!(place.ends_with(&format!("/{slice}/{unit}")), "{place}");
    let limit = |file: &str| {
        let text = fs::read_to_string(Path::new(&place).join(file));
        text.unwrap_or_else(|e| panic!("{file}: {e}")).trim().to_owned()
    };
    let property = |name: &str| property(manager, &unit, name);
    assert_eq!(property("TasksMax"), pids.to_string());
    assert_eq!(property("MemoryMax"), (64 << 20).to_string());
    assert_eq!(property("Delegate"), "yes");
    assert_eq!(limit("pids.max"), pids.to_string());
    assert_eq!(limit("memory.max"), (64 << 20).to_string());
    let processes = container.done(&["ps", "--format", "json"]);
    assert_eq!(processes, format!("[{}]", container.pid()));
    // Whoever comes later is counted, too.
    let second = ["exec", "--detach", "--pid-file", "second"];
    container.done_with(&second, &["sleep", "1000"]);
    let second = container.text("second").parse().expect("a pid");
    assert_eq!(of(second), place);
    let more = (pids + 1).to_string();
    container.done(&["update", "--pids-limit", &more]);
    assert_eq!((property("TasksMax"), limit("pids.max")), (more.clone(), more));
    container.done(&["pause"]);
    assert_eq!(container.status(), "paused");
    container.done(&["resume"]);
    // The scope is taken: whoever asks for it once more harms nobody.
    let mut other = bundle();
    other.set("/linux/cgroupsPath", path);
    other.refused(&create);
    assert_eq!(property("ActiveState"), "active");
    assert_eq!(container.status(), "running");
    container.done(&["delete", "--force"]);
    container.assert_gone();
    assert!(!Path::new(&place).exists());
    eventually("the end of the scope", || {
        (property("LoadState") == "not-found").then_some(())
    });
    other.set("/linux/cgroupsPath", json!("/of/another/form"));
    let told = other.refused(&create);
    assert!(told.contains("SLICE:PREFIX:NAME"), "{told}");
}

fn property(manager: &str, unit: &str, name: &str) -> String {
    let mut show = Command::new("systemctl");
    show.args([manager, "show", "--value", "-p", name, unit]);
    let said = show.output().expect("systemctl").stdout;
    String::from_utf8(said).expect("UTF-8").trim().to_owned()
}

/// It would never hear of the end of a cgroup that is taken away meanwhile, and
/// keep the scope.
pub fn a_systemd_that_is_late_keeps_no_scope() {
    needs::lab();
    needs::ordinary_user();
    needs_systemd();
    let mut container = of_a_user();
    let unit = format!("box-{}.scope", container.id);
    let path = json!(format!("user.slice:box:{}", container.id));
    container.set("/linux/cgroupsPath", path);
    container.done(&["create", "--systemd-cgroup", "--pid-file", "pid"]);
    let pid = container.pid();
    let own = format!("user@{}.service", getuid());
    let late = Late::new(&property("--system", &own, "MainPID"));
    let mut delete = container.runtime();
    delete.args(["delete", "--force", &container.id]);
    let mut delete = delete.spawn().expect("delete");
    eventually("its end", || (!proc::runs(pid)).then_some(()));
    sleep(Duration::from_secs(1));
    drop(late);
    assert!(delete.wait().expect("its end").success());
    container.assert_gone();
    eventually("the end of the scope", || {
        (property("--user", &unit, "LoadState") == "not-found").then_some(())
    });
}

/// A process that stands still.
struct Late(Pid);

impl Late {
    fn new(pid: &str) -> Late {
        let pid = Pid::from_raw(pid.parse().expect("a pid"));
        kill(pid, Signal::SIGSTOP).expect("kill");
        Late(pid)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

pub fn where_no_systemd_answers_it_is_told() {
    if Path::new(BOOTED).is_dir() {
        skip("needs a machine without systemd");
    }
    let container = if needs::is_root() { Bundle::new() } else { of_a_user() };
    let told = container.refused(&["create", "--systemd-cgroup"]);
    assert!(told.contains("no systemd runs here"), "{told}");
    container.assert_gone();
}
