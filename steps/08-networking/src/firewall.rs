//! The rules: NAT, published ports, and what stays closed.
//!
//! They are nftables' ([nft(8)](https://man7.org/linux/man-pages/man8/nft.8.html)),
//! in a table of our own: nobody else's rules are touched, and ours go with one
//! word. They are made anew from what is plugged into the bridge, never added
//! to: the rule of a container that was killed is gone when the next one comes.

use std::fmt::{self, Write as _};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use runtime::{Failure, Host};

use crate::bridge::{BRIDGE, Note, View, is_on, switch};
use crate::netlink::Netlink;
use crate::port::{Protocol, Published};

/// Our table: one for IPv4 and IPv6 together.
const TABLE: &str = "inet workshop";

/// A script for nft: all or nothing.
#[derive(Debug, Hash)]
pub struct Rules(String);

impl Rules {
    /// For the containers that are plugged in. `opened`: devices that forward
    /// because of us.
    pub fn of(view: &View, opened: &[String]) -> Rules {
        let subnet = view.subnet;
        let mut published = String::new();
        for (number, cable) in view.containers() {
            let container = subnet.network(number).address;
            let ports = cable.alias.split(' ').flat_map(str::parse);
            for port in ports {
                let Published { address, host, container: inner, protocol } =
                    port;
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                };
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
        Rules(format!(
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
        ))
    }

    /// Takes the table away, if it is there.
    pub fn nothing() -> Rules {
        Rules(format!("table {TABLE}\ndelete table {TABLE}\n"))
    }

    fn id(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which rules there must be, and whether they are in force already.
struct Wanted {
    rules: Rules,
    note: Note,
    new: bool,
}

impl Wanted {
    fn now(view: &View) -> Wanted {
        let old = Note::on(&view.bridge);
        let mut forwarding = old.forwarding.clone();
        for uplink in &view.uplinks {
            let is_ours = forwarding.contains(uplink);
            if !is_ours && !is_on(&switch("ipv4", uplink, "forwarding")) {
                forwarding.push(uplink.clone());
            }
        }
        let rules = Rules::of(view, &forwarding);
        let id = Some(rules.id());
        let new = old.rules != id;
        Wanted { rules, note: Note { rules: id, forwarding, ..Note::default() }, new }
    }

    /// While rules change, the bridge says of none that it is in force.
    fn load(&self, kernel: &Netlink, view: &View) -> Result<String> {
        let unsure = Note { rules: None, ..self.note.clone() };
        unsure.write(kernel, &view.bridge)?;
        nft(&self.rules)
    }
}

/// Brings the rules in force, unless they are.
pub fn load(container: &Host, kernel: &Netlink, view: &View) -> Result<Note> {
    let wanted = Wanted::now(view);
    if wanted.new {
        let listed = container_call(container, || wanted.load(kernel, view))?;
        if let Some(chain) = one_that_drops(&listed) {
            container.note(format!(
                "{chain} drops what the host forwards: containers may reach neither the outside \
                 nor each other (docker sets it so; iptables -I DOCKER-USER -i {BRIDGE} -j ACCEPT \
                 and the same with -o let them through)"
            ));
        }
    }
    wanted.note.write(kernel, &view.bridge)?;
    Ok(wanted.note)
}

fn container_call(
    container: &Host,
    load: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let mut failed = None;
    let listed = container.call(
        "execve(\"nft\", [\"nft\", \"-f\", \"-\"])",
        "NAT, published ports, and the host itself closed",
        format!("nft list table {TABLE}"),
        || {
            load().map_err(|error| {
                failed = Some(error);
                io::Error::other("")
            })
        },
    );
    match (listed, failed) {
        (_, Some(error)) => Err(error),
        (listed, None) => Ok(listed?),
    }
}

/// The same, when nobody listens any more.
pub fn load_quietly(kernel: &Netlink, view: &View) -> Result<()> {
    let wanted = Wanted::now(view);
    if wanted.new {
        wanted.load(kernel, view)?;
    }
    Ok(wanted.note.write(kernel, &view.bridge)?)
}
