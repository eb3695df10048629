//! What comes back in step 10: a whole machine keeps what its init needs, so
//! some of what step 09 stops works again. That is no mistake: it was weighed
//! against the wall that is named here.

use crate::attack::Attack;

const OWN: &str = "the user namespace: root has it over what is its own alone";
const KERNEL: &str = "none: the code behind that door has to be right";
const INSIDE: &str = "the user namespace: who gains it, gains it inside";
const TELLS: &str = "none: the machine it tells of is the host";

/// The attack, and which wall holds instead.
const AGAIN: [(&str, &str); 16] = [
    (
        "pose-as-neighbour",
        "none on the bridge: who does not trust a neighbour, has another bridge",
    ),
    ("forward-packets", "the network namespace: between its own devices alone"),
    ("uncover", "none: what lies in its root directory is not kept from root"),
    ("mount-tmpfs", OWN),
    ("mount-proc", "the PID namespace: it shows none but its own processes"),
    ("nest-as-root", OWN),
    ("nest-as-user", OWN),
    ("run-setuid", INSIDE),
    ("run-capable", INSIDE),
    ("set-personality", "none: it is a matter of its own programs"),
    ("reach-io-uring", KERNEL),
    ("reach-perf", KERNEL),
    ("reach-af-alg", KERNEL),
    ("reach-vsock", KERNEL),
    ("read-interrupts", TELLS),
    ("read-vmcoreinfo", TELLS),
];

impl Attack {
    /// Whether a machine in a container, with all the powers of its root, lets it
    /// through again: then which wall holds instead.
    #[must_use]
    pub fn again_in_10(&self) -> Option<&'static str> {
        let found = AGAIN.iter().find(|(name, _)| *name == self.name);
        found.map(|(_, wall)| *wall)
    }
}
