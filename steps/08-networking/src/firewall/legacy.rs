//! iptables-legacy: rules that the kernel keeps apart from nftables', and that
//! nft(8) does not list. One policy of theirs is asked for, as iptables(8) does
//! it: by getsockopt(2). See linux/netfilter_ipv4/ip_tables.h.

use std::fs;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use runtime::process::socket_option;

const SOL_IP: i32 = 0;
const IPT_SO_GET_INFO: i32 = 64;
const IPT_SO_GET_ENTRIES: i32 = 65;
/// struct ipt_getinfo: a name, and 13 numbers.
const INFO: usize = NAME + 13 * 4;
const NAME: usize = 32;
/// In it, where the last rule of the chain FORWARD begins: its policy.
const UNDERFLOW_FORWARD: usize = NAME + (1 + 5 + 2) * 4;
const SIZE: usize = INFO - 4;
/// struct ipt_get_entries, before the entries.
const HEAD: usize = 40;
/// struct ipt_entry: where its target begins.
const TARGET_OFFSET: usize = 88;
/// struct xt_standard_target: its verdict.
const VERDICT: usize = 32;
/// -NF_DROP - 1.
const DROP: i32 = -1;

/// Whether iptables-legacy's FORWARD drops by default. Who only asked would
/// make the table: so first whether there is one.
pub fn forward_drops() -> bool {
    let tables = fs::read_to_string("/proc/net/ip_tables_names");
    let is_there = tables.is_ok_and(|it| it.lines().any(|it| it == "filter"));
    is_there && policy().is_some_and(|verdict| verdict == DROP)
}

fn policy() -> Option<i32> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let any = socket(AddressFamily::Inet, SockType::Datagram, flags, None);
    let any = any.ok()?;
    let mut info = vec![0; INFO];
    info[..6].copy_from_slice(b"filter");
    socket_option(&any, SOL_IP, IPT_SO_GET_INFO, &mut info).ok()?;
    let size = number(&info, SIZE)?;
    let mut table = vec![0; HEAD + size as usize];
    table[..6].copy_from_slice(b"filter");
    table[NAME..][..4].copy_from_slice(&size.to_ne_bytes());
    socket_option(&any, SOL_IP, IPT_SO_GET_ENTRIES, &mut table).ok()?;
    let policy = HEAD + number(&info, UNDERFLOW_FORWARD)? as usize;
    let target = table.get(policy + TARGET_OFFSET..)?.first_chunk::<2>()?;
    let target = policy + usize::from(u16::from_ne_bytes(*target));
    number(&table, target + VERDICT)
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(i32::from_ne_bytes(*bytes))
}
