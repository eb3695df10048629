//! Listens in the pretend internet, has a visitor come from the command's
//! namespace, and looks at each part when nobody comes.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use testbed::token;

use crate::judge::look::{ensure, output, within};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "nat",
    formerly: &[],
    step: "08-networking",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Inside: ip route add default via OUTSIDE's address, without its /24. \
         So the child needs OUTSIDE as well.",
        "On the host: write \"1\" to /proc/sys/net/ipv4/ip_forward.",
        "On the host: a table, a chain of type nat in the hook postrouting, a \
         rule with ip saddr OUTSIDE masquerade.",
    ],
    needs: &[Need::Internet],
    errors: &[],
    wrong: &[
        Wrong {
            name: "no-route",
            change: &[(
                "    ip(&format!(\"route add default via {gateway}\"))?;\n",
                "    let _ = gateway;\n",
            )],
            hint: NO_ROUTE,
        },
        Wrong {
            name: "no-forwarding",
            change: &[(
                "    write(\"/proc/sys/net/ipv4/ip_forward\", \"1\").context(\"ip_forward\")?;\n",
                "    let _ = write::<&str, &str>;\n",
            )],
            hint: NO_FORWARDING,
        },
        Wrong {
            name: "no-masquerade",
            change: &[(
                "    nft(&format!(\"add rule ip exercise out ip saddr {outside} masquerade\"))?;\n",
                "",
            )],
            hint: NO_MASQUERADE,
        },
        Wrong {
            name: "wrong-hook",
            change: &[(
                "postrouting priority srcnat",
                "prerouting priority dstnat",
            )],
            hint: NFT,
        },
        Wrong {
            name: "no-namespace-and-no-route",
            change: &[
                ("CLONE_NEWNET", "CLONE_NEWUTS"),
                (
                    "    ip(&format!(\"route add default via {gateway}\"))?;\n",
                    "    let _ = gateway;\n",
                ),
            ],
            hint: NO_NAMESPACE,
        },
    ],
    check,
};

const INTERNET: &str = "203.0.113.10";

const NO_NAMESPACE: &str = "The child has to unshare CLONE_NEWNET.";
const NO_ROUTE: &str = "The command's namespace knows no way to addresses that \
                        are not on the cable. Inside: ip route add default via \
                        the host's end.";
const NO_FORWARDING: &str = "The packets reach the host, and end there: it is \
                             not a router. Write 1 to \
                             /proc/sys/net/ipv4/ip_forward.";
const NO_MASQUERADE: &str = "The packets arrive, but the answer goes nowhere: \
                             out there, nobody knows 10.0.0.0/8. A rule with \
                             masquerade, in a chain of type nat in the hook \
                             postrouting, gives them the host's address.";
const NFT: &str = "nft refused a command. masquerade belongs to the hook \
                   postrouting: only there is it known where a packet leaves.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    // A host is not a router unless somebody says so.
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("be no router");
    let (a, b) = (number(10, 240), number(10, 240));
    let [outside, inside] = [1, 2].map(|end| format!("10.{a}.{b}.{end}/24"));
    let command = waiting();
    let run = judge.program().args([&outside, &inside]);
    let mut run = run.args(&command).start();
    let pid = run.reaches(&command).map_err(|failure| {
        match failure.observed.contains("nft ") {
            true => Failure { hint: NFT.into(), ..failure },
            false => failure,
        }
    })?;
    judge.namespace(pid, "net", NO_NAMESPACE)?;
    let route = within(pid, "net", &["ip", "route", "get", INTERNET]);
    let forwards = fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
    let forwards = forwards.unwrap_or_default().trim_end().to_owned();
    let hint = match () {
        () if route.is_empty() => NO_ROUTE,
        () if forwards != "1" => NO_FORWARDING,
        () => NO_MASQUERADE,
    };
    let said = hello(pid);
    let from = said.clone().unwrap_or("nobody".into());
    let word = if route.is_empty() { "no route" } else { "a route" };
    let observed = format!(
        "inside there is {word} to {INTERNET}; ip_forward is {forwards}; the \
         internet talked to {from}"
    );
    let hosts = output("ip", &["-o", "-4", "address", "show", "eth0"]);
    let hosts = hosts.split_whitespace().nth(3).unwrap_or_default();
    let hosts = hosts.split('/').next().unwrap_or_default();
    let expected =
        format!("the internet talked to {hosts}, the host's address");
    ensure(said.as_deref() == Some(hosts), &observed, expected, hint)?;
    Ok(observed)
}

/// The address that came to the internet from that network namespace, and was
/// answered.
fn hello(pid: i32) -> Option<String> {
    let word = token();
    let listener = listen_in_the_internet();
    let port = listener.local_addr().expect("an address").port();
    let net = format!("--net=/proc/{pid}/ns/net");
    let script = format!("cat </dev/tcp/{INTERNET}/{port}");
    let mut visitor = Command::new("nsenter")
        .args([&*net, "--", "timeout", "2", "bash", "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start nsenter");
    let mut from = None;
    while visitor.try_wait().is_ok_and(|status| status.is_none()) {
        if let Ok((mut stream, address)) = listener.accept() {
            from = Some(address.ip().to_string());
            let _ = stream.write_all(word.as_bytes());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let heard = visitor.wait_with_output().expect("wait for it").stdout;
    from.filter(|_| heard == word.as_bytes())
}

/// A socket stays in the network namespace in which it was made.
fn listen_in_the_internet() -> TcpListener {
    let ours = File::open("/proc/self/ns/net").expect("our namespace");
    let internet = File::open("/run/netns/internet").expect("the internet");
    setns(internet, CloneFlags::CLONE_NEWNET).expect("enter the internet");
    let listener = TcpListener::bind((INTERNET, 0));
    setns(ours, CloneFlags::CLONE_NEWNET).expect("leave the internet");
    let listener = listener.expect("listen");
    listener.set_nonblocking(true).expect("non-blocking");
    listener
}
