//! What a new network namespace takes over from the machine's first one.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// It is told to forward, say, where docker has told the machine so. This puts
/// back the kernel's defaults, in the namespace that we are in. What has no name
/// here is 0.
///
/// # Errors
/// As readdir(2).
pub fn restore() -> Result<()> {
    const CONF: &str = "/proc/sys/net/ipv4/conf";
    // First, since it changes others.
    set(&Path::new(CONF).join("all/forwarding"), "0");
    for_each_file(CONF, |device, name, file| {
        let value = match name {
            _ if device == "lo" && name.starts_with("disable_") => return,
            "accept_source_route" => ["1", "0"][usize::from(device == "all")],
            "shared_media" | "arp_evict_nocarrier" => "1",
            _ if name.ends_with("_redirects") => "1",
            "igmpv2_unsolicited_report_interval" => "10000",
            "igmpv3_unsolicited_report_interval" => "1000",
            _ => "0",
        };
        set(file, value);
    })?;
    // And a bridge is a switch: whether what it passes on must please the rules
    // for what is routed depends on who has loaded br_netfilter.
    for name in ["arptables", "ip6tables", "iptables"] {
        let file = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        set(Path::new(&file), "0");
    }
    for_each_file("/proc/sys/net/ipv6/conf", |_, name, file| match name {
        "forwarding" | "disable_ipv6" | "addr_gen_mode" => set(file, "0"),
        "accept_ra" | "autoconf" => set(file, "1"),
        _ => {}
    })
}

/// What is not there, or can't be set, is the kernel's.
fn set(file: &Path, value: &str) {
    let _ = fs::write(file, value);
}

/// Of each device, and of all.
fn for_each_file(
    directory: &str,
    act: impl Fn(&str, &str, &Path),
) -> Result<()> {
    for device in fs::read_dir(directory).into_iter().flatten().flatten() {
        for file in fs::read_dir(device.path())?.flatten() {
            let (device, name) = (device.file_name(), file.file_name());
            act(
                &device.to_string_lossy(),
                &name.to_string_lossy(),
                &file.path(),
            );
        }
    }
    Ok(())
}
