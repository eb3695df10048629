//! Connects to a service that listens on the host's loopback only, and trusts
//! whoever reaches it.

use crate::attack::{Argument, Arguments, Attack, StoppedBy, Try};
use crate::service;

pub const ATTACK: Attack = Attack {
    name: "host-loopback",
    tries: "connect to a service on the host's 127.0.0.1",
    stopped: StoppedBy::Step(8),
    rule: "a network namespace has a loopback of its own",
    source: "network_namespaces(7)",
    arguments: &[Argument::new("PORT", "8000", "where it listens")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    service::connect(&format!("127.0.0.1:{}", arguments.number::<u16>("PORT")?))
}
