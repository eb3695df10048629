//! Step 09: doors of the kernel that no capability guards, and what /proc and
//! /sys tell of the machine. An open door shows in /proc/PID.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;
use testbed::needs;

use crate::places::{
    Impossible, Place, Staying, Verdict, impossible, judge, stdout,
};

/// Every descriptor of the attack.
pub fn descriptors(attack: &Staying) -> Vec<PathBuf> {
    let all = attack.processes().into_iter().map(|pid| {
        let directory = fs::read_dir(format!("/proc/{pid}/fd"));
        directory.expect("its descriptors").flatten().map(|it| it.path())
    });
    all.flatten().collect()
}

fn has_open(attack: &Staying, what: &str) -> bool {
    let leads_there = |descriptor: &PathBuf| {
        fs::read_link(descriptor).is_ok_and(|link| link == Path::new(what))
    };
    descriptors(attack).iter().any(leads_there)
}

/// The kernel names a socket's protocol in an attribute.
fn has_socket(attack: &Staying, protocol: &str) -> bool {
    let speaks = |descriptor: &PathBuf| {
        let mut name = [0; 64];
        let length = getxattr(descriptor, "system.sockprotoname", &mut name);
        length.is_ok_and(|length| {
            name[..length].strip_suffix(b"\0") == Some(protocol.as_bytes())
        })
    };
    descriptors(attack).iter().any(speaks)
}

/// A machine may have closed a door for all, containers or not. The lab's is
/// opened until this is dropped.
struct Opened(Option<(PathBuf, String)>);

impl Opened {
    fn at_most(sysctl: &str, most: i32) -> Result<Opened, Impossible> {
        let file = Path::new("/proc/sys").join(sysctl);
        let value = fs::read_to_string(&file).unwrap_or_default();
        match value.trim().parse::<i32>() {
            Ok(value) if value > most => {}
            _ => return Ok(Opened(None)),
        }
        if !needs::in_the_lab()
            || !needs::in_first_user_namespace()
            || !needs::is_root()
        {
            let (name, value) = (sysctl.replace('/', "."), value.trim());
            return impossible(format!(
                "this machine closes it ({name} is {value}); root of the lab \
                 can open it"
            ));
        }
        fs::write(&file, most.to_string()).expect("open the door");
        Ok(Opened(Some((file, value))))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some((file, value)) = &self.0 {
            let _ = fs::write(file, value);
        }
    }
}

/// Where the door is none without a container, no container has closed it.
fn reach(
    place: Place,
    name: &str,
    is_open: impl Fn(&Staying) -> bool,
) -> Verdict {
    let outside = Place::OUTSIDE.attack(name, &[]);
    if !outside.status.success() {
        let said = stdout(&outside);
        let reason = said.lines().nth(1).unwrap_or_default();
        let reason = reason.trim_start_matches("CAN'T BE TRIED: ");
        return impossible(format!("{reason}; that of the lab has it"));
    }
    let attack = Staying::begin(place, name, &[]);
    attack.judge(is_open(&attack))
}

pub fn reach_io_uring(place: Place) -> Verdict {
    let _opened = Opened::at_most("kernel/io_uring_disabled", 0)?;
    reach(place, "reach-io-uring", |attack| {
        has_open(attack, "anon_inode:[io_uring]")
    })
}

/// Debian has a level 3, at which ordinary users count nothing at all.
pub fn reach_perf(place: Place) -> Verdict {
    let _opened = Opened::at_most("kernel/perf_event_paranoid", 2)?;
    reach(place, "reach-perf", |attack| {
        has_open(attack, "anon_inode:[perf_event]")
    })
}

pub fn reach_af_alg(place: Place) -> Verdict {
    reach(place, "reach-af-alg", |attack| has_socket(attack, "ALG"))
}

pub fn reach_vsock(place: Place) -> Verdict {
    reach(place, "reach-vsock", |attack| has_socket(attack, "AF_VSOCK"))
}

/// ADDR_NO_RANDOMIZE is 0x0040000 (proc_pid_personality(5)).
pub fn set_personality(place: Place) -> Verdict {
    let attack = Staying::begin(place, "set-personality", &[]);
    let has_it = |pid| {
        let mask = fs::read_to_string(format!("/proc/{pid}/personality"));
        let mask = mask.expect("its personality");
        let mask = u32::from_str_radix(mask.trim(), 16).expect("a mask");
        mask & 0x0040000 != 0
    };
    let seen = attack.processes().into_iter().any(has_it);
    attack.judge(seen)
}

/// What the host reads in the same file: how many lines, and the last word. Not
/// every machine has something to tell in each.
fn told_of(file: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/proc").join(file)).ok()?;
    let last = text.split_whitespace().last()?;
    Some(format!(" has {} lines, to … {last}\n", text.lines().count()))
}

fn tells(place: Place, attack: &str, file: &str) -> Option<Verdict> {
    let there = told_of(file)?;
    let output = place.attack(attack, &[file]);
    Some(judge(&output, stdout(&output).contains(&there)))
}

/// What any user may read, and none should.
const TELLING: [&str; 4] = ["interrupts", "iomem", "ioports", "cmdline"];

pub fn read_interrupts(place: Place) -> Verdict {
    let tells = |file| tells(place, "read-interrupts", file);
    let verdicts: Result<Vec<_>, _> =
        TELLING.into_iter().filter_map(tells).collect();
    let verdicts = verdicts?;
    assert!(verdicts.iter().all(|it| *it == verdicts[0]), "{verdicts:?}");
    Ok(verdicts[0])
}

pub fn mount_proc(place: Place) -> Verdict {
    tells(place, "mount-proc", TELLING[0]).expect("a file of every machine")
}

pub fn read_vmcoreinfo(place: Place) -> Verdict {
    let file = "/sys/kernel/vmcoreinfo";
    let Ok(there) = fs::read_to_string(file) else {
        return impossible(format!("this machine has no {file}"));
    };
    let output = place.attack("read-vmcoreinfo", &[]);
    judge(&output, stdout(&output).contains(there.trim()))
}
