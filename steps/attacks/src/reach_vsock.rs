//! Opens a socket to the hypervisor and its other guests. They have no
//! addresses of any network, so no network namespace holds them.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::attack::{Arguments, Attack, Outcome, STAY, StoppedBy, Try};
use crate::door;

pub const ATTACK: Attack = Attack {
    name: "reach-vsock",
    tries: "open a socket to the hypervisor (AF_VSOCK)",
    stopped: StoppedBy::Step(9),
    rule: "socket is refused for AF_VSOCK: no network namespace divides it",
    source: "vsock(7), CVE-2021-26708, seccomp(2)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let (family, kind) = (AddressFamily::Vsock, SockType::Stream);
    let opened = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    let call = "socket(AF_VSOCK, SOCK_STREAM)";
    let socket = door::open(call, "AF_VSOCK", opened)?;
    // It stays open as long as we do: somebody may want to look.
    std::mem::forget(socket);
    Ok(Outcome::Worked("AF_VSOCK is reachable: its socket is open".into()))
}
