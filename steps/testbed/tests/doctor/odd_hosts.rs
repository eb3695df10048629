//! Hosts on which something else is at work, too. Each is made of the lab's
//! machine, and put back.

use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::{Step, binary, checkout, needs, skip};

use super::{
    Outcome, Report, as_the_labs_learner, compare_with, here, outcome,
};

const DOCTOR: &str = "./scripts/doctor.sh";

/// What root types to make the host odd, and to put it back.
struct Odd(&'static str);

impl Odd {
    fn begin(arrive: &str, leave: &'static str) -> Odd {
        needs::lab();
        needs::time();
        needs::host_root();
        // The other kernel has the same systemd, and the same tools.
        if fs::read_to_string("/proc/sys/kernel/osrelease")
            .is_ok_and(|release| release.starts_with("6.1."))
        {
            skip("is judged on the lab's newer kernel");
        }
        let odd = Odd(leave);
        as_root(arrive);
        odd
    }

    /// With a program that is installed, and asleep, in the lab's Debian 13.
    fn with(program: &str, arrive: &str, leave: &'static str) -> Odd {
        needs::lab();
        if !Path::new(program).exists() {
            skip(format!("needs {program}, as --everything has it"));
        }
        Odd::begin(arrive, leave)
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        as_root(self.0);
    }
}

fn as_root(script: &str) {
    let mut shell = Command::new("bash");
    shell.args(["-e", "-c", script]).current_dir(checkout());
    let output = shell.output().expect("bash");
    assert!(output.status.success(), "{script}: {output:?}");
}

/// What the doctor says to the learner, and what happens to them. Root's steps
/// run beside them, as far as the doctor says that they do.
fn the_doctor_is_right() -> Report {
    let asked = as_the_labs_learner(DOCTOR, &["--json"]);
    compare_with(&asked, "rootless", &[5, 6, 7, 8], |commands| {
        commands.iter().map(|words| learners(words)).collect()
    });
    compare_with(&asked, "playground", &[1, 4, 8], |commands| {
        let run = |words: &Vec<&str>| {
            let playground = checkout().join("scripts/playground.sh");
            let words = [&["--"], &words[..]].concat();
            outcome(&as_the_labs_learner(playground, &words))
        };
        commands.iter().map(run).collect()
    });
    compare_with(&asked, "host", &[1, 4, 8], here);
    Report::of(&asked)
}

fn learners(words: &[&str]) -> Outcome {
    outcome(&as_the_labs_learner(binary(words[0]), &words[1..]))
}

fn all_works(report: &Report) {
    for (way, first) in [("rootless", 5), ("playground", 1), ("host", 1)] {
        for step in first..=8 {
            assert_eq!(report.says(step, way, "verdict"), "works", "{step}");
        }
    }
}

pub fn where_processes_of_others_are_hidden_it_is_right() {
    let _odd = Odd::begin(
        "mount -o remount,hidepid=2 /proc",
        "mount -o remount,hidepid=0 /proc",
    );
    let seen = as_the_labs_learner("ls", &["/proc/1"]);
    assert!(!seen.status.success(), "nothing is hidden: {seen:?}");
    the_doctor_is_right();
}

pub fn where_nothing_in_tmp_can_be_executed_it_is_right() {
    let _odd = Odd::begin(
        "mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 tmpfs /tmp",
        "umount -l /tmp",
    );
    all_works(&the_doctor_is_right());
}

pub fn without_ipv6_it_is_right() {
    let odd = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
        net.ipv6.conf.default.disable_ipv6=1";
    let _odd = Odd::begin(
        odd,
        "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 \
            net.ipv6.conf.default.disable_ipv6=0",
    );
    all_works(&the_doctor_is_right());
}

/// Docker's bridge, rules and forwarding, and a second way out.
pub fn where_docker_has_its_rules_it_is_right() {
    let _odd = Odd::begin(
        "./scripts/lib/company.sh --arrive
         echo 1 >/proc/sys/net/ipv4/ip_forward",
        "./scripts/lib/company.sh --leave
         echo 0 >/proc/sys/net/ipv4/ip_forward",
    );
    all_works(&the_doctor_is_right());
}

/// A VPN takes all packets, with two routes that are more exact than the
/// default route.
pub fn where_a_vpn_takes_all_packets_it_is_right() {
    let _odd = Odd::begin(
        "ip tuntap add vpn0 mode tun
         ip address add 10.8.0.2/24 dev vpn0
         ip link set vpn0 up
         ip route add 0.0.0.0/1 via 10.8.0.1
         ip route add 128.0.0.0/1 via 10.8.0.1",
        "ip link delete vpn0",
    );
    all_works(&the_doctor_is_right());
}

/// As on Ubuntu since 23.10, but by a profile: a user namespace can be made, and
/// whoever is in it has no capability. It is for the learner's programs alone.
pub fn where_apparmor_takes_all_capabilities_it_is_right() {
    needs::lab();
    if !Path::new("/sys/kernel/security/apparmor").exists() {
        skip("needs AppArmor, and SELinux is in its place");
    }
    let _odd = Odd::begin(
        "mkdir /home/learner/odd
         cp $WORKSHOP_BIN/0* $WORKSHOP_BIN/playground /home/learner/odd
         apparmor_parser -r <<'PROFILE'
profile odd /home/learner/odd/* flags=(attach_disconnected) {
    /** rwmlkix,
    /usr/bin/newuidmap Ux,
    /usr/bin/newgidmap Ux,
    mount, umount, pivot_root, signal, ptrace, network, unix, dbus,
}
PROFILE",
        "echo 'profile odd {}' | apparmor_parser -R
         rm -r /home/learner/odd",
    );
    let asked = as_the_labs_learner(
        "env",
        &["WORKSHOP_BIN=/home/learner/odd", DOCTOR, "--json"],
    );
    let report = Report::of(&asked);
    for (way, step) in [("rootless", 5), ("rootless", 8), ("playground", 1)] {
        assert_eq!(report.says(step, way, "verdict"), "no", "{asked:?}");
        let why = report.says(step, way, "why");
        assert!(why.contains("AppArmor"), "{way} {step}: {why}");
        assert!(
            !report.says(step, way, "mend").contains("doctor"),
            "{asked:?}"
        );
    }
}

/// As on Fedora, but with Debian's policy, which confines no user.
pub fn where_selinux_enforces_it_is_right() {
    needs::lab();
    needs::host_root();
    let enforces = fs::read("/sys/fs/selinux/enforce");
    if enforces.unwrap_or_default() != b"1" {
        skip("needs SELinux, as --everything has it");
    }
    all_works(&the_doctor_is_right());
}

const STEP_08: &str = "08-networking";
const THE_INTERNET: &str = "203.0.113.10";

/// A page from the pretended internet, for a container on the bridge; and what
/// step 08 says.
fn a_page_from_outside() -> (bool, String) {
    let get = format!("wget -q -T 3 -O - http://{THE_INTERNET}");
    let output = Step::telling_all(STEP_08).sh(&get).output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.stdout.starts_with(b"Hello"), told)
}

/// Somebody else's firewall stops what the host forwards: step 08 says whose
/// rules these are and what opens them, and that opens them. The second command
/// is the first in the other direction, and told in fewer words.
fn its_advice_opens_the_way_out(whose: &str, advice: &[&str]) {
    let (came, told) = a_page_from_outside();
    assert!(!came, "nothing is in the way: {told}");
    assert!(told.contains(whose), "{told}");
    assert!(told.contains(advice[0]), "{}: {told}", advice[0]);
    for command in advice {
        as_root(command);
    }
    let (came, told) = a_page_from_outside();
    assert!(came, "{told}");
}

pub fn where_docker_runs_it_is_right() {
    let _odd = Odd::with(
        "/usr/sbin/dockerd",
        "systemctl start docker",
        "systemctl stop docker.socket docker containerd
         ip link delete docker0
         nft flush ruleset
         echo 0 >/proc/sys/net/ipv4/ip_forward",
    );
    let forwards = fs::read("/proc/sys/net/ipv4/ip_forward").expect("a switch");
    assert_eq!(forwards, b"1\n", "docker does not run");
    all_works(&the_doctor_is_right());
    its_advice_opens_the_way_out(
        "FORWARD of table ip filter drops",
        &[
            "iptables -I DOCKER-USER -i workshop0 -j ACCEPT",
            "iptables -I DOCKER-USER -o workshop0 -j ACCEPT",
        ],
    );
}

pub fn where_ufw_is_on_it_is_right() {
    let _odd = Odd::with(
        "/usr/sbin/ufw",
        "ufw --force enable",
        "ufw --force reset
         nft flush ruleset",
    );
    all_works(&the_doctor_is_right());
    its_advice_opens_the_way_out(
        "FORWARD of table ip filter drops",
        &[
            "ufw route allow in on workshop0",
            "ufw route allow out on workshop0",
        ],
    );
}

pub fn where_firewalld_runs_it_is_right() {
    let _odd = Odd::with(
        "/usr/sbin/firewalld",
        "systemctl start firewalld",
        "systemctl stop firewalld",
    );
    all_works(&the_doctor_is_right());
    its_advice_opens_the_way_out(
        "filter_FORWARD of table inet firewalld rejects",
        &["firewall-cmd --zone=trusted --add-interface=workshop0"],
    );
}

pub fn where_podman_runs_a_container_it_is_right() {
    let _odd = Odd::with(
        "/usr/bin/podman",
        "mkdir -p /root/odd/bin
         cp /usr/bin/busybox /root/odd/bin/sh
         ln -s sh /root/odd/bin/sleep
         podman run -d --name odd -p 8099:80 --rootfs /root/odd sh -c 'sleep 1000'",
        "podman rm -f -t 0 odd
         rm -r /root/odd
         nft flush ruleset
         echo 0 >/proc/sys/net/ipv4/ip_forward",
    );
    assert!(Path::new("/sys/class/net/podman0").exists(), "no bridge");
    all_works(&the_doctor_is_right());
    let (came, told) = a_page_from_outside();
    assert!(came, "{told}");
}

/// As on Ubuntu since 25.10.
pub fn where_coreutils_are_rusts_it_is_right() {
    let _odd = Odd::with(
        "/usr/lib/cargo/bin/coreutils",
        "mount -t overlay -o lowerdir=/usr/lib/cargo/bin/coreutils:/usr/bin \
            overlay /usr/bin",
        "umount -l /usr/bin",
    );
    let whose = as_the_labs_learner("ls", &["--version"]);
    let whose = String::from_utf8_lossy(&whose.stdout).into_owned();
    assert!(!whose.contains("GNU"), "{whose}");
    all_works(&the_doctor_is_right());
}
