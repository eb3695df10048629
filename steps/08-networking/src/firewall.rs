//! The rules: NAT, published ports, and what stays closed.
//!
//! They are nftables' ([nft(8)](https://man7.org/linux/man-pages/man8/nft.8.html)),
//! in a table of our own: nobody else's rules are touched, and ours go with one
//! word. They are made anew from what is plugged into the bridge, never added
//! to: the rule of a container that was killed is gone when the next one comes.

mod legacy;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use runtime::{Because, Host};

use crate::forwarding::Note;
use crate::port::Published;
use crate::view::{BRIDGE, View};

/// Our table: one for IPv4 and IPv6 together.
const TABLE: &str = "inet workshop";

/// A script for nft: all or nothing.
#[derive(Debug)]
pub struct Rules(String);

impl Rules {
    /// For the containers that are plugged in. `opened`: devices that forward
    /// because of us.
    pub fn of(view: &View, opened: &[&str]) -> Result<Rules> {
        let subnet = view.subnet()?;
        let mut published = String::new();
        for (number, cable) in view.containers() {
            let container = subnet.network(number).address;
            let ports = cable.alias.split(' ').flat_map(str::parse);
            for port in ports {
                let Published { address, host, container: inner, protocol } =
                    port;
                let only = address.map(|a| format!("ip daddr {a} "));
                let only = only.unwrap_or_default();
                let _ = writeln!(
                    published,
                    "{only}{protocol} dport {host} dnat ip to {container}:{inner}"
                );
            }
        }
        let mut closed = String::new();
        for device in opened {
            let _ = writeln!(closed, "iifname {device:?} drop");
        }
        Ok(Rules(format!(
            r#"
table {TABLE}
delete table {TABLE}
table {TABLE} {{
    # Where a published port leads to.
    chain published {{
        {published}
    }}
    # Packets that come to the host, and those that it sends to itself.
    chain arriving {{
        type nat hook prerouting priority dstnat
        fib daddr type local jump published
    }}
    chain own {{
        type nat hook output priority -100
        fib daddr type local jump published
    }}
    # Nobody out there knows the way to {subnet}: they see the host's address.
    chain leaving {{
        type nat hook postrouting priority srcnat
        ip saddr {subnet} oifname != "{BRIDGE}" masquerade
        # Through a published port: the answer must come back through here.
        ip saddr {{ 127.0.0.0/8, {subnet} }} oifname "{BRIDGE}" ct status dnat masquerade
    }}
    chain forward {{
        type filter hook forward priority filter
        iifname "{BRIDGE}" ip saddr {subnet} accept
        iifname "{BRIDGE}" drop
        oifname "{BRIDGE}" ct state established,related accept
        oifname "{BRIDGE}" ct status dnat accept
        oifname "{BRIDGE}" drop
        # The host forwards for containers, not for its neighbours.
        {closed}
    }}
    # What comes from a container for the host itself.
    chain input {{
        type filter hook input priority filter
        iifname "{BRIDGE}" ct state established,related accept
        iifname "{BRIDGE}" icmp type echo-request accept
        iifname "{BRIDGE}" drop
    }}
}}
list chains
"#
        )))
    }
}

/// Brings the rules in force. They are made anew each time: somebody else's
/// firewall may have flushed them (`nft flush ruleset`), and a container that
/// was killed could not take its own away.
pub fn load(container: &Host, view: &View, note: &Note) -> Result<()> {
    let rules = Rules::of(view, &note.opened(view)?)?;
    let nft = container
        .call(
            "execve(\"nft\", [\"nft\", \"-f\", \"-\"])",
            "NAT; the host itself stays closed",
            format!("nft list table {TABLE} # shows them"),
            start,
        )
        .because(
            Errno::ENOENT,
            "the program nft makes the rules: ./scripts/setup.sh installs it; \
             --network none works without it",
        )?;
    if let Some(stop) = one_that_stops(&feed(nft, &rules)?) {
        container.note(stop);
    }
    if legacy::forward_drops() {
        container.note(format!(
            "chain FORWARD of iptables-legacy drops {THEN_NOTHING}: \
             iptables-legacy -I FORWARD -i {BRIDGE} -j ACCEPT, and the same with -o"
        ));
    }
    Ok(())
}

const THEN_NOTHING: &str = "what the host forwards: containers might reach neither the outside nor \
     each other until it accepts what comes from workshop0 and what goes to it";

/// Who else writes rules: how to know them by their chains, and what they ask
/// for.
const OTHERS: [(&str, &str); 2] = [
    (
        "chain DOCKER-USER {",
        "; with docker: iptables -I DOCKER-USER -i workshop0 -j ACCEPT, and the same with -o",
    ),
    (
        "chain ufw-",
        "; with ufw: ufw route allow in on workshop0, and the same with out",
    ),
];

/// The same, when nobody listens any more.
pub fn load_quietly(view: &View) -> Result<()> {
    let rules = Rules::of(view, &Note::on(view).opened(view)?)?;
    feed(start()?, &rules).map(drop)
}

/// Takes our table away.
pub fn remove() -> Result<()> {
    let nothing = format!("table {TABLE}\ndelete table {TABLE}\n");
    feed(start()?, &Rules(nothing)).map(drop)
}

/// The one helper process: the kernel takes rules as a small program of its
/// own virtual machine, and nft is the compiler.
fn start() -> io::Result<Nft> {
    // Debian leaves these out of an ordinary user's PATH.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        [path.as_os_str(), "/usr/sbin:/sbin".as_ref()].join(":".as_ref());
    // One pipe for both: to read two at once can fail, and panics then.
    let (output, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    let process = Command::new("nft")
        .args(["-f", "-"])
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(theirs.try_clone()?)
        .stderr(theirs)
        .spawn()?;
    Ok(Nft { process, output: output.into() })
}

/// nft at work, and what it says.
struct Nft {
    process: Child,
    output: File,
}

/// Gives nft the rules, and returns what it lists.
fn feed(nft: Nft, Rules(script): &Rules) -> Result<String> {
    let Nft { mut process, mut output } = nft;
    let mut stdin = process.stdin.take().context("nft has no stdin")?;
    stdin.write_all(script.as_bytes()).context("write() to nft")?;
    drop(stdin);
    let mut said = String::new();
    output.read_to_string(&mut said).context("read() of nft")?;
    let status = process.wait().context("wait() for nft")?;
    if !status.success() {
        let first = said.lines().next().unwrap_or("it does not say why");
        bail!(
            "nft -f -: {first} (does the kernel lack nf_tables, or are the installed \
             modules another kernel's? --network none works without it)"
        );
    }
    Ok(said)
}

/// A chain of somebody else's that drops by default what the host forwards, and
/// whom to ask to let it through. Accepting is no help there: one no is stronger
/// than any yes. firewalld accepts by default, and rejects in its last rule.
fn one_that_stops(listed: &str) -> Option<String> {
    let (mut table, mut chain) = ("", "");
    for line in listed.lines().map(str::trim) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["table", .., "{"] => table = line.trim_end_matches(" {"),
            ["chain", name, "{"] => chain = name,
            ["type", "filter", "hook", "forward", ..]
                if table == "table inet firewalld" =>
            {
                return Some(format!(
                    "chain {chain} of {table} rejects {THEN_NOTHING}: \
                     firewall-cmd --zone=trusted --add-interface={BRIDGE}"
                ));
            }
            ["type", "filter", "hook", "forward", .., "policy", "drop;"] => {
                let mut note =
                    format!("chain {chain} of {table} drops {THEN_NOTHING}");
                let known =
                    OTHERS.iter().filter(|(mark, _)| listed.contains(mark));
                known.for_each(|(_, ask)| note += ask);
                return Some(note);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_drops_by_default_is_found() {
        let listed = |policy: &str| {
            format!(
                "table inet workshop {{\n\tchain forward {{\n\t\ttype filter hook forward \
                 priority filter; policy accept;\n\t}}\n}}\ntable ip filter {{\n\tchain INPUT \
                 {{\n\t\ttype filter hook input priority filter; policy drop;\n\t}}\n\tchain \
                 FORWARD {{\n\t\ttype filter hook forward priority filter; policy {policy};\n\t}}\n\t\
                 chain ufw-user-forward {{\n\t}}\n}}\n"
            )
        };
        let note = one_that_stops(&listed("drop")).expect("it drops");
        assert!(note.starts_with("chain FORWARD of table ip filter drops"));
        assert!(note.contains("ufw route") && !note.contains("docker"));
        assert_eq!(one_that_stops(&listed("accept")), None);
    }

    #[test]
    fn firewalld_rejects_whatever_its_policy() {
        let listed = "table inet firewalld {\n\tchain filter_FORWARD {\n\t\ttype filter hook \
                      forward priority filter + 10; policy accept;\n\t}\n}\n";
        let note = one_that_stops(listed).expect("it rejects");
        assert!(note.contains("firewall-cmd"), "{note}");
    }
}
