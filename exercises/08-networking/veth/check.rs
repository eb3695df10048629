//! Looks at both ends, and sends over the cable a word that nobody can guess.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::{proc, token};

use crate::judge::look::{ensure, output, within};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "veth",
    formerly: &[],
    step: "08-networking",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Where is box0 after `link add`? The child looks for it in its own \
         namespace.",
        "peer name box0 netns PID makes the second end where it is needed. \
         child.id() is the number.",
        "Who sets the host's end up?",
    ],
    needs: &[Need::Internet],
    errors: &[],
    wrong: &[
        Wrong {
            name: "not-moved",
            change: &[
                (" netns {pid}", ""),
                ("    let pid = child.id();\n", "    let _pid = child.id();\n"),
            ],
            hint: NOT_MOVED,
        },
        Wrong {
            name: "one-end-down",
            change: &[("    ip(\"link set cable up\")?;\n", "")],
            hint: HOST_DOWN,
        },
        Wrong {
            name: "no-address-outside",
            change: &[(
                "    ip(&format!(\"address add {outside} dev cable\"))?;\n",
                "    let _ = outside;\n",
            )],
            hint: NO_ADDRESS,
        },
        Wrong {
            name: "no-namespace",
            change: &[("CLONE_NEWNET", "CLONE_NEWUTS")],
            hint: NO_NAMESPACE,
        },
    ],
    check,
};

const NO_NAMESPACE: &str = "The child has to unshare CLONE_NEWNET.";
const NOT_MOVED: &str = "box0 is not in the command's namespace. A veth is \
                         made where ip runs, unless you give its peer: netns \
                         PID.";
const HOST_DOWN: &str = "The host's end is down, so the cable carries nothing: \
                         ip link set cable up.";
const NO_ADDRESS: &str = "The host's end does not have the address OUTSIDE, so \
                          nobody answers there.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (a, b) = (number(10, 240), number(10, 240));
    let [outside, inside] = [1, 2].map(|end| format!("10.{a}.{b}.{end}/24"));
    let command = waiting();
    let before = output("ip", &["-o", "link"]).lines().count();
    let mut run =
        judge.program().args([&outside, &inside]).args(&command).start();
    let pid = run.reaches(&command).map_err(|failure| {
        match failure.observed.contains("Cannot find device \"box0\"") {
            true => Failure { hint: NOT_MOVED.into(), ..failure },
            false => failure,
        }
    })?;
    judge.namespace(pid, "net", NO_NAMESPACE)?;
    let has =
        within(pid, "net", &["ip", "-o", "-4", "address", "show", "box0"]);
    ensure(
        has.contains(&format!(" {inside} ")),
        format!("the command's box0: \"{has}\""),
        format!("it has {inside}"),
        NOT_MOVED,
    )?;
    let ours = output("ip", &["-o", "-4", "address"]);
    ensure(
        ours.contains(&format!(" {outside} ")),
        format!("no device of the host has {outside}"),
        "the host's end has it",
        NO_ADDRESS,
    )?;
    let address = outside.split('/').next().unwrap_or_default();
    let said = word_over_the_cable(pid, address);
    ensure(
        said,
        format!("{inside} can't talk to {address}"),
        "a connection from inside to the host's end",
        HOST_DOWN,
    )?;
    drop(run);
    // The command is killed with what we started. Then its namespace goes.
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    );
    let end = Instant::now() + Duration::from_secs(2);
    let devices = || output("ip", &["-o", "link"]).lines().count();
    while proc::runs(pid) || devices() > before {
        if Instant::now() > end {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    ensure(
        devices() <= before,
        "the command has ended, but the host has more devices than before",
        "nothing is left on the host",
        NOT_MOVED,
    )?;
    Ok(format!("{inside} inside talks to {address}; nothing was left behind"))
}

/// Whether somebody in that network namespace hears a word that we say there.
fn word_over_the_cable(pid: i32, address: &str) -> bool {
    let word = token();
    let Ok(listener) = TcpListener::bind((address, 0)) else { return false };
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("non-blocking");
    let net = format!("--net=/proc/{pid}/ns/net");
    let script = format!("cat </dev/tcp/{address}/{port}");
    let mut visitor = Command::new("nsenter")
        .args([&*net, "--", "timeout", "2", "bash", "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start nsenter");
    while visitor.try_wait().is_ok_and(|status| status.is_none()) {
        if let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(word.as_bytes());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let heard = visitor.wait_with_output().expect("wait for it").stdout;
    heard == word.as_bytes()
}
