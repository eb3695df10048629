//! Forwarding: what the kernel refuses unless it is told otherwise, for each
//! device on which a packet arrives.
//!
//! Those that containers send arrive on the bridge, the answers on any device
//! that leads out of the host: a second card, a VPN. What we switch on is noted
//! on the bridge, and switched off when it goes. A device that comes later is
//! noticed by the next container.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::str::FromStr;

use nix::errno::Errno;
use runtime::{Because, Failure, Host};

use crate::netlink::{LONGEST_ALIAS, Link, Netlink};
use crate::view::{BRIDGE, View};

/// The switch of all interfaces together.
const ALL: &str = "all";
/// How much of the note may be about devices: the rest is kept for `idle`.
const ROOM: usize = LONGEST_ALIAS - " idle=4294967295".len();

/// What the bridge's alias says, for whoever comes next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Note {
    /// The devices on which we, and nobody before us, allowed forwarding. By
    /// number, as a name may be another device's by now.
    pub forwarding: Vec<u32>,
    /// Who found nobody left, and will take the bridge away if so it stays.
    pub idle: Option<u32>,
}

impl FromStr for Note {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Note, Self::Err> {
        let mut note = Note::default();
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(("forwarding", devices)) => {
                    let numbers = devices.split(',').flat_map(str::parse);
                    note.forwarding = numbers.collect();
                }
                Some(("idle", pid)) => note.idle = pid.parse().ok(),
                _ => {}
            }
        }
        Ok(note)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices: Vec<_> =
            self.forwarding.iter().map(u32::to_string).collect();
        let devices = (!devices.is_empty())
            .then(|| format!("forwarding={}", devices.join(",")));
        let idle = self.idle.map(|pid| format!("idle={pid}"));
        let words: Vec<_> = devices.into_iter().chain(idle).collect();
        f.write_str(&words.join(" "))
    }
}

impl Note {
    /// Reads it off the bridge. A device that is gone needs no word.
    pub fn on(view: &View) -> Note {
        let mut note: Note = view.bridge.alias.parse().unwrap_or_default();
        note.forwarding.retain(|device| view.name(*device).is_some());
        note
    }

    /// Adds the devices that do not forward yet. Somebody is here now.
    pub fn with_ways_out(
        mut self,
        container: &Host,
        view: &View,
    ) -> Result<Note, Failure> {
        self.idle = None;
        for Link { index, name, .. } in view.ways_out() {
            if self.forwarding.contains(index) || may_forward(name)? {
                continue;
            }
            self.forwarding.push(*index);
            if self.to_string().len() > ROOM {
                self.forwarding.pop();
                container.note(format!(
                    "{name} does not forward: no more devices fit into the note of those to \
                     switch off again. Containers can't reach what is behind it; sysctl \
                     net/ipv4/conf/{name}/forwarding=1 fixes that"
                ));
            }
        }
        Ok(self)
    }

    /// Those of its devices that nobody but us lets forward. Who switched it on
    /// for all meanwhile may want more than our containers.
    pub fn opened<'a>(&self, view: &'a View) -> Result<Vec<&'a str>, Failure> {
        match may_forward(ALL)? {
            true => Ok(Vec::new()),
            false => Ok(self.names(view).collect()),
        }
    }

    fn names<'a>(&self, view: &'a View) -> impl Iterator<Item = &'a str> {
        self.forwarding.iter().filter_map(|device| view.name(*device))
    }

    /// Writes it on the bridge, after saying so. Even if it is there: whether the
    /// last one out is still about to take the bridge away is a matter of time,
    /// and what is told is not.
    pub fn write_on(
        &self,
        container: &Host,
        kernel: &Netlink,
        view: &View,
    ) -> Result<(), Failure> {
        let bridge = &view.bridge;
        let call = format!("RTM_SETLINK {{ {BRIDGE}, alias: \"{self}\" }}");
        if self.forwarding.is_empty() {
            let written = self.write(kernel, bridge);
            return written.map_err(|errno| Failure::of(call, errno));
        }
        container.call(
            call,
            "the numbers of the devices that the last one out switches off",
            format!("ip link set {BRIDGE} alias '{self}'"),
            || self.write(kernel, bridge),
        )
    }

    /// The same, when nobody listens.
    pub fn write(&self, kernel: &Netlink, bridge: &Link) -> io::Result<()> {
        kernel.write_alias(bridge.index, &self.to_string())
    }

    /// What the kernel refuses unless it is told otherwise.
    pub fn allow_forwarding(
        &self,
        container: &Host,
        view: &View,
    ) -> Result<(), Failure> {
        set(
            container,
            &switch("ipv4", BRIDGE, "route_localnet"),
            "published ports answer at the host's 127.0.0.1, too",
        )?;
        for device in [BRIDGE].into_iter().chain(self.names(view)) {
            set(
                container,
                &switch("ipv4", device, "forwarding"),
                "pass on packets for others, on this device only",
            )?;
        }
        Ok(())
    }

    /// Takes back what we allowed. Who switched forwarding on for all meanwhile
    /// relies on it.
    pub fn forbid_forwarding(&self, view: &View) {
        if matches!(may_forward(ALL), Ok(false)) {
            for device in self.names(view) {
                let _ = fs::write(switch("ipv4", device, "forwarding"), "0");
            }
        }
    }
}

fn may_forward(device: &str) -> Result<bool, Failure> {
    let switch = switch("ipv4", device, "forwarding");
    match fs::read_to_string(&switch) {
        Ok(value) => Ok(value.trim() != "0"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::of(format!("read({switch:?})"), error)),
    }
}

/// Closes IPv6 on a device.
pub fn no_ipv6(container: &Host, device: &str) -> Result<(), Failure> {
    set(
        container,
        &switch("ipv6", device, "disable_ipv6"),
        "no second way in, by a link-local address",
    )
}

/// A kernel without IPv6 has no switches for it, and a device may be gone.
fn set(container: &Host, switch: &str, why: &str) -> Result<(), Failure> {
    if !Path::new(switch).exists() {
        return Ok(());
    }
    let key = switch.trim_start_matches("/proc/sys/");
    container
        .call(
            format!("write({switch:?}, \"1\")"),
            why,
            format!("sysctl -w {key}=1"),
            || fs::write(switch, "1"),
        )
        .because(
            Errno::EROFS,
            "/proc/sys is read-only here, as in docker: use docker run --privileged, or the lab",
        )
}

/// A switch of a network device (Documentation/networking/ip-sysctl.rst).
fn switch(family: &str, device: &str, name: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{device}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_is_written() {
        for (note, text) in [
            (Note::default(), ""),
            (Note { forwarding: vec![2, 17], idle: None }, "forwarding=2,17"),
            (
                Note { forwarding: vec![2], idle: Some(7) },
                "forwarding=2 idle=7",
            ),
        ] {
            assert_eq!(note.to_string(), text);
            assert_eq!(text.parse(), Ok(note));
        }
    }
}
