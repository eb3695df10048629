//! Step 09: what root inside may do with what is its own, and who becomes root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::statvfs::FsFlags;
use rustix::fs::{XattrFlags, setxattr};
use testbed::{Step, binary, proc, token};

use crate::layers::give_to_root_inside;
use crate::places::{
    Impossible, Place, Root, STAY, Staying, Verdict, copy_program, directory,
    directory_without, impossible, judge, need_command, need_other_ids, stdout,
    text,
};

/// An empty directory of the host lies over the secret.
pub fn uncover(place: Place) -> Verdict {
    let (root, empty, secret) = (Root::new(), directory(), token());
    fs::write(root.path().join("mnt/secret"), &secret).expect("a secret");
    let step = place.step().arg("--rootfs", root.path());
    let cover = format!("{}:/mnt", text(empty.path()));
    let attack = ["-v", &cover, "--", "attack", "uncover", "/mnt", "secret"];
    let output = step.args(attack).output();
    judge(&output, stdout(&output).contains(&secret))
}

/// In the table of its process (proc_pid_mountinfo(5)).
pub fn mount_tmpfs(place: Place) -> Verdict {
    let source = token();
    let attack = Staying::begin(place, "mount-tmpfs", &["/mnt", &source]);
    let shows = |pid| {
        let table = fs::read_to_string(format!("/proc/{pid}/mountinfo"));
        let entry = format!(" - tmpfs {source} ");
        table.expect("its mounts").contains(&entry)
    };
    let seen = attack.processes().into_iter().any(shows);
    attack.judge(seen)
}

/// In another user namespace than the shell that started it.
pub fn nest_as_root(place: Place) -> Verdict {
    nests("nest-as-root", place.step())
}

pub fn nest_as_user(place: Place) -> Verdict {
    need_an_ordinary_user(place)?;
    nests("nest-as-user", place.step().args(USER))
}

const USER: [&str; 2] = ["-u", "1000"];

fn nests(name: &str, step: Step) -> Verdict {
    // The shell need not say that we have killed its child.
    let script = format!("exec 2>/dev/null; attack {name} {STAY}; true");
    let attack = Staying::of(step.sh(&script));
    let shell = attack.container.pid();
    let user = |pid| fs::read_link(format!("/proc/{pid}/ns/user"));
    let own = user(shell).expect("its user namespace");
    let nested = |pid: &i32| user(*pid).is_ok_and(|it| it != own);
    let powerful = |pid: &i32| capabilities(*pid) != 0;
    let seen = attack.processes().iter().any(|it| nested(it) && powerful(it));
    attack.judge(seen)
}

fn capabilities(pid: i32) -> u64 {
    let mask = proc::status(pid, "CapEff").expect("its capabilities");
    u64::from_str_radix(&mask, 16).expect("a mask")
}

/// Somebody inside who is not root: that takes a second id.
fn need_an_ordinary_user(place: Place) -> Result<(), Impossible> {
    if place.step == 0 {
        need_other_ids()?;
        return need_command("setpriv").map(drop);
    }
    let probe = place.step().args(USER).args(["--", "true"]).output();
    match probe.status.success() {
        true => Ok(()),
        false => impossible("there is one user id only: no /etc/subuid range"),
    }
}

/// Its program is root's, and has the setuid bit. Who it became says the kernel:
/// the same id as that of root inside.
pub fn run_setuid(place: Place) -> Verdict {
    let setuid = |program: &Path| {
        let anybody = Permissions::from_mode(0o4755);
        fs::set_permissions(program, anybody).expect("the setuid bit");
        Ok(())
    };
    by_a_program(place, "run-setuid", setuid, |attack, owner| {
        let effective = |pid: &i32| {
            let ids = proc::status(*pid, "Uid").expect("its ids");
            ids.split_whitespace().nth(1).and_then(|id| id.parse().ok())
        };
        attack.processes().iter().any(|pid| effective(pid) == Some(owner))
    })
}

/// CAP_CHOWN, permitted and in effect: struct vfs_cap_data of capability.h.
const CAPABLE: [u32; 5] = [0x0200_0001, 1, 0, 0, 0];

pub fn run_capable(place: Place) -> Verdict {
    let capable = |program: &Path| {
        let value = CAPABLE.map(u32::to_le_bytes).concat();
        let name = "security.capability";
        let set = setxattr(program, name, &value, XattrFlags::empty());
        set.or_else(|error| {
            impossible(format!("a file can't have capabilities here: {error}"))
        })
    };
    by_a_program(place, "run-capable", capable, |attack, _| {
        attack.processes().into_iter().any(|pid| capabilities(pid) != 0)
    })
}

fn by_a_program(
    place: Place,
    name: &str,
    prepare: impl Fn(&Path) -> Result<(), Impossible>,
    seen: impl Fn(&Staying, u32) -> bool,
) -> Verdict {
    need_an_ordinary_user(place)?;
    let place_for_it = || directory_without(FsFlags::ST_NOSUID);
    let (root, shown) = (Root::in_a(place_for_it()?), place_for_it()?);
    crate::users::open_to_all(shown.path());
    let bin = match place.step {
        0 => shown.path().to_owned(),
        _ => root.path().join("bin"),
    };
    let (attack, program) = (bin.join("attack"), bin.join("attack-copy"));
    if place.step == 0 {
        copy_program(&binary("attack"), &attack);
    }
    copy_program(&binary("attack"), &program);
    let owner = match place.step {
        0 => 0,
        _ => give_to_root_inside(place, &[&program]),
    };
    prepare(&program)?;
    let step = match place.step {
        0 => {
            let somebody = ["--reuid=1000", "--regid=1000", "--clear-groups"];
            let step = Step::program("setpriv").args(somebody);
            step.args([text(attack), name.into(), text(program), STAY.into()])
        }
        _ => {
            let step = place.step().arg("--rootfs", root.path()).args(USER);
            let attack = ["attack", name, "/bin/attack-copy", STAY];
            step.args(["--"]).args(attack)
        }
    };
    let attack = Staying::of(step);
    attack.judge(seen(&attack, owner))
}

/// proc_net(5): 1 if it forwards, 2 if not.
fn forwards(pid: i32) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/net/snmp"));
    let table = table.expect("what its network counts");
    let line = table.lines().filter_map(|it| it.strip_prefix("Ip: ")).nth(1);
    line.expect("a line of numbers").starts_with("1 ")
}

/// To the opposite of what a new one does.
pub fn forward_packets(place: Place) -> Verdict {
    let alone = || place.step().args(["--network", "none"]);
    let before = forwards(alone().start_waiting().pid());
    let value = if before { "0" } else { "1" };
    let attack = ["--", "attack", "forward-packets", value, STAY];
    let attack = Staying::of(alone().args(attack));
    let now = |pid: i32| forwards(pid) != before;
    attack.judge(attack.processes().into_iter().any(now))
}
