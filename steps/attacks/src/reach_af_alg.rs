//! Opens a socket of the kernel's cryptography. Only that: behind it lay a hole
//! by which any user wrote to files that they could only read, and so to layers
//! that containers share.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::attack::{Arguments, Attack, Outcome, STAY, StoppedBy, Try};
use crate::door;

pub const ATTACK: Attack = Attack {
    name: "reach-af-alg",
    tries: "open a socket of the kernel's cryptography (AF_ALG)",
    stopped: StoppedBy::Step(9),
    rule: "socket is refused for AF_ALG: no namespace divides the page cache",
    source: "CVE-2026-31431, seccomp(2)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let (family, kind) = (AddressFamily::Alg, SockType::SeqPacket);
    let opened = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    let call = "socket(AF_ALG, SOCK_SEQPACKET)";
    let socket = door::open(call, "AF_ALG", opened)?;
    // It stays open as long as we do: somebody may want to look.
    std::mem::forget(socket);
    Ok(Outcome::Worked("AF_ALG is reachable: its socket is open".into()))
}
