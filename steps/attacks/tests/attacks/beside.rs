//! Variants of attacks that have no place in the matrix.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use linux_keyutils::{KeyRing, KeyRingIdentifier};
use testbed::watch::{Watch, cgroups_of};
use testbed::{Step, eventually, needs, skip, token};

/// A PID namespace does not help against a /proc that shows another one. Step
/// 04 covers it with its own.
pub fn the_hosts_proc_in_the_root_directory_leads_out() {
    needs::disposable_host();
    needs::root();
    let steps = ["01-chroot", "03-pid-namespace", "04-mount-namespace"];
    let secret = format!("/etc/{}", token());
    let content = token();
    fs::write(&secret, &content).expect("write a secret");
    let root = tempfile::tempdir().expect("a directory");
    testbed::copy_default_root(root.path());
    let proc = root.path().join("proc");
    let mount = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).arg(&proc).status();
        assert!(done.expect("mount").success());
    };
    mount("mount", &["--bind", "/proc"]);
    let told = steps.map(|step| {
        let step = Step::new(step).arg("--rootfs", root.path());
        let output = step.args(["--", "attack", "escape-proc", &secret]);
        String::from_utf8_lossy(&output.output().stdout).contains(&content)
    });
    mount("umount", &["-l"]);
    let _ = fs::remove_file(secret);
    assert_eq!(told, [true, true, false]);
}

/// The same container reaches the service once the chain is empty.
pub fn one_rule_and_nothing_else_closes_the_bridge() {
    needs::disposable_host();
    needs::root();
    needs::command("nft");
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let word = token();
    let answer = word.clone();
    std::thread::spawn(move || {
        for mut visitor in listener.incoming().flatten() {
            let _ = writeln!(visitor, "{answer}");
        }
    });
    let attack = format!("attack bridge-service {port}");
    let script = format!("{attack}; read line; {attack}");
    let mut container = Step::new("08-networking").sh(&script).start();
    assert!(container.line().starts_with("bridge-service: "));
    assert!(container.line().starts_with("STOPPED: "));
    let rules = ["flush", "chain", "inet", "workshop", "input"];
    let flushed = Command::new("nft").args(rules).status();
    assert!(flushed.expect("nft").success());
    container.say("again");
    assert!(container.line().starts_with("bridge-service: "));
    let said = container.line();
    assert!(said.starts_with("WORKED: ") && said.ends_with(&word), "{said}");
}

/// Two walls stand before the host's keys: without the filter, keyctl(2) finds
/// the container's own keyring, which is empty.
pub fn a_keyring_of_its_own_holds_without_the_filter() {
    let session = KeyRing::from_special_id(KeyRingIdentifier::Session, true);
    let session = session.unwrap_or_else(|error| {
        skip(format!("there is no session keyring to be had: {error}"))
    });
    let (name, secret) = (token(), token());
    let key = session.add_key(&name, &secret).expect("plant a secret");
    let unconfined = ["--security-opt", "seccomp=unconfined"];
    let told =
        [("08-networking", &[][..]), ("09-least-privilege", &unconfined)].map(
            |(step, options)| {
                let step = Step::new(step).args(["--network", "none"]);
                let attack = ["--", "attack", "read-keyring", &name];
                let output = step.args(options).args(attack).output();
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    said.contains(&secret) || said.contains("ENOKEY"),
                    "{said}"
                );
                said.contains(&secret)
            },
        );
    let _ = session.unlink_key(key);
    assert_eq!(told, [true, false]);
}

/// `/` itself can be as closed as a volume.
pub fn a_read_only_root_is_written_nowhere() {
    needs::disposable_host();
    needs::root();
    let root = tempfile::tempdir().expect("a directory");
    testbed::copy_default_root(root.path());
    for (option, works) in [(None, true), (Some("--read-only"), false)] {
        let step = Step::new("04-mount-namespace");
        let step = step.arg("--rootfs", root.path()).args(option);
        let output = step.args(["--", "attack", "write-volume", "/attack"]);
        let output = output.output();
        assert_eq!(output.status.code(), Some((!works).into()), "{output:?}");
        let file = fs::metadata(root.path().join("attack"));
        assert_eq!(file.as_ref().is_ok_and(|it| it.size() > 0), works);
        let _ = fs::remove_file(root.path().join("attack"));
    }
}

/// Without a limit it would take the whole machine. So in the step below it
/// runs into a limit of ours, around it, which is far above that of step 06.
pub fn a_fork_bomb_without_an_end_ends_at_the_limit() {
    const BOMB: &str = "echo ready; bomb() { bomb | bomb & }; bomb; sleep 600";
    needs::lab();
    needs::host_root();
    let tree = Path::new("/sys/fs/cgroup");
    let number = |file: &Path, word: &str| -> u32 {
        let text = fs::read_to_string(file).expect("a file of the cgroup");
        let last = text.trim().trim_start_matches(word).trim();
        last.parse().expect("a number")
    };
    fs::write(tree.join("cgroup.subtree_control"), "+pids").expect("enable");
    let around = tree.join(token());
    fs::create_dir(&around).expect("a cgroup");
    fs::write(around.join("pids.max"), "400").expect("write pids.max");
    let watch = Watch::begin();
    let below = watch.over(Step::new("05-user-namespace")).sh(BOMB);
    let join = format!("echo $$ >{}/cgroup.procs", around.display());
    let below = below.in_shell(&format!("{join}; exec \"$@\"")).start();
    eventually("more processes than step 06 would allow", || {
        (number(&around.join("pids.current"), "") > 150).then_some(())
    });
    drop(below);
    watch.assert_nothing_left("the bomb without a limit");
    // A process that has ended is counted until its last memory is gone.
    eventually("an empty cgroup", || fs::remove_dir(&around).ok());

    let limited = watch.over(Step::new("06-cgroups"));
    let limited = limited.args(["--pids-limit", "64", "-m", "64m"]);
    let mut limited = limited.sh(BOMB).start();
    assert_eq!(limited.line(), "ready");
    let [cgroup] = &cgroups_of(limited.runtime())[..] else {
        panic!("no cgroup, or many")
    };
    eventually("forks that are refused", || {
        (number(&cgroup.join("pids.events"), "max") > 30).then_some(())
    });
    assert!(number(&cgroup.join("pids.current"), "") <= 64);
    drop(limited);
    watch.assert_nothing_left("the bomb with a limit");
}
