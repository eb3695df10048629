//! Why a machine refuses a playground, and what to do.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Error;

/// The first line says what failed, the others why, and the way out.
#[derive(Debug)]
pub struct Lesson(Vec<String>);

impl Lesson {
    /// From its lines.
    pub fn of<const N: usize>(lines: [&str; N]) -> Lesson {
        Lesson(lines.map(str::to_owned).into())
    }

    /// One more line.
    #[must_use]
    pub fn and(mut self, line: impl Into<String>) -> Lesson {
        self.0.push(line.into());
        self
    }
}

impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n            "))
    }
}

impl std::error::Error for Lesson {}

const LAB: &str = "Or use the lab, which needs none of this: scripts/lab.sh";

/// `what` failed, since there is no user namespace to be had, or none in which
/// root may do anything.
pub fn no_user_namespace(what: &str) -> Error {
    let sysctl = |name: &str, value: &str| {
        let now = fs::read_to_string(Path::new("/proc/sys").join(name));
        now.is_ok_and(|now| now.trim() == value)
    };
    let (why, lines): (_, &[&str]) = if in_a_container() {
        (
            "refused, since this is a container.",
            &[
                "Its seccomp filter and its masked /proc forbid new namespaces.",
                "Start it with: docker run --privileged …",
            ],
        )
    } else if sysctl("kernel/apparmor_restrict_unprivileged_userns", "1") {
        (
            "AppArmor takes all rights away in an ordinary user's user namespace.",
            &[
                "(Ubuntu since 23.10: kernel.apparmor_restrict_unprivileged_userns = 1)",
                "Until the next boot: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
                "Or start the playground as root: sudo scripts/playground.sh",
            ],
        )
    } else if sysctl("kernel/unprivileged_userns_clone", "0") {
        (
            "ordinary users may not make user namespaces here.",
            &[
                "(Debian's switch: kernel.unprivileged_userns_clone = 0)",
                "Until the next boot: sudo sysctl kernel.unprivileged_userns_clone=1",
                "Or start the playground as root: sudo scripts/playground.sh",
            ],
        )
    } else if sysctl("user/max_user_namespaces", "0") {
        (
            "the number of user namespaces is limited to none.",
            &[
                "Until the next boot: sudo sysctl user.max_user_namespaces=10000",
            ],
        )
    } else {
        (
            "the kernel refused.",
            &[
                "Are user namespaces built in? ls /proc/self/ns/user",
                "Does a sandbox around this shell filter system calls? grep Seccomp: /proc/self/status",
            ],
        )
    };
    let lesson = Lesson(vec![format!("{what}: {why}")]);
    let lesson = lines.iter().fold(lesson, |lesson, line| lesson.and(*line));
    lesson.and(LAB).into()
}

fn in_a_container() -> bool {
    let filtered = |status: String| {
        let line = status.lines().find_map(|it| it.strip_prefix("Seccomp:"));
        line.is_some_and(|mode| mode.trim() != "0")
    };
    let marks = ["/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| Path::new(mark).exists())
        && fs::read_to_string("/proc/self/status").is_ok_and(filtered)
}
