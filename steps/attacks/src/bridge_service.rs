//! Reaches services of the host by the bridge's own address: the host is the
//! container's gateway, and listens there too.

use std::net::Ipv4Addr;

use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, StoppedBy, Try,
};
use crate::{procfs, service};

pub const ATTACK: Attack = Attack {
    name: "bridge-service",
    tries: "connect to a service of the host by its address on the bridge",
    stopped: StoppedBy::Step(8),
    rule: "a rule drops what comes from the bridge for the host itself",
    source: "nft(8), hook input",
    arguments: &[
        Argument::new("PORT", "8000", "where it listens"),
        Argument::new(
            "ADDRESS",
            "",
            "the host's [default: that of the gateway]",
        ),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let port: u16 = arguments.number("PORT")?;
    let address = match arguments.text("ADDRESS")? {
        "" => gateway()?.to_string(),
        address => address.to_owned(),
    };
    service::connect(&format!("{address}:{port}"))
}

/// proc_net(5): the route to 00000000, whose gateway is in the machine's byte
/// order.
fn gateway() -> Result<Ipv4Addr, Ended> {
    let table = procfs::read("self/net/route")
        .or_stopped("open(\"/proc/self/net/route\")")?;
    let gateway = table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let to_everywhere = fields.next()? == "00000000";
        let gateway = u32::from_str_radix(fields.next()?, 16).ok()?;
        to_everywhere.then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    });
    gateway.ok_or_else(|| {
        Outcome::CannotTry("there is no default route: name the ADDRESS".into())
            .into()
    })
}
