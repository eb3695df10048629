//! Loads another kernel, which takes over the machine when it reboots, or at
//! once. This one is a page of `hlt` instructions, and nobody starts it.

use nix::libc::SYS_kexec_load;

use crate::attack::{Arguments, Attack, Outcome, StoppedBy, Try};
use crate::{lab, perl};

pub const ATTACK: Attack = Attack {
    name: "kexec",
    tries: "load another kernel, to take the place of this one",
    stopped: StoppedBy::Step(5),
    rule: "kexec_load needs CAP_SYS_BOOT in the first user namespace",
    source: "kexec_load(2), user_namespaces(7)",
    arguments: &[],
    run,
};

// A struct kexec_segment: from where, how much, to where, how much.
const SCRIPT: &str = r#"
    my ($number, $page, $to) = (@ARGV, 4096, 256 << 20);
    my $kernel = "\xf4" x $page;
    my $segment = pack("P Q Q Q", $kernel, $page, $to, $page);
    print syscall($number + 0, $to, 1, $segment, 0) ? $! + 0 : 0;
"#;

fn run(_: &Arguments) -> Try {
    lab::require()?;
    let number = SYS_kexec_load.to_string();
    perl::syscall("kexec_load()", SCRIPT, &[&number])?;
    Ok(Outcome::Worked("another kernel is ready to be started".into()))
}
