//! Step 05: who is root inside.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use testbed::{binary, needs, token};

use crate::places::{
    Cache, Impossible, Place, Root, STEPS, Verdict, copy_program, directory,
    impossible, judge, need_command, need_other_ids, need_root, stdout, text,
};

/// So that nothing but the rule in question stops an attack.
pub fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, Permissions::from_mode(0o777))
        .expect("chmod");
}

/// Who owns the file is asked on the host. Below step 04 there are no volumes:
/// there the root directory is root's.
pub fn own_as_root(place: Place) -> Verdict {
    need_root()?;
    if place.step >= 5 {
        need_other_ids()?;
    }
    let (volume, name) = (directory(), token());
    open_to_all(volume.path());
    let here = text(volume.path());
    let (output, made) = match place.step {
        0 => {
            let output = place.attack("own-as-root", &[&here, &name]);
            (output, volume.path().join(&name))
        }
        1..4 => {
            let root = Root::new();
            let step = root.command(place, "own-as-root", &["/", &name]);
            let output = step.output();
            let made = root.path().join(&name);
            let owner = fs::metadata(made).map(|made| made.uid());
            return judge(&output, owner.is_ok_and(|uid| uid == 0));
        }
        _ => {
            let step = place.step().args(["-v", &format!("{here}:/mnt")]);
            let attack = ["--", "attack", "own-as-root", "/mnt", &name];
            (step.args(attack).output(), volume.path().join(&name))
        }
    };
    let owner = fs::metadata(made).expect("the file").uid();
    judge(&output, owner == geteuid().as_raw())
}

/// Root of a playground has nothing of the machine's.
pub fn need_the_machines_root() -> Result<(), Impossible> {
    match needs::is_root() && needs::in_first_user_namespace() {
        true => Ok(()),
        false => {
            impossible("needs the machine's own root, whom no playground has")
        }
    }
}

/// On its own word: nothing is written, so there is nothing to see.
pub fn write_sysctl(place: Place) -> Verdict {
    need_the_machines_root()?;
    let output = place.attack("write-sysctl", &[]);
    judge(&output, stdout(&output).contains("\nWORKED: "))
}

pub fn read_kernel_log(place: Place) -> Verdict {
    need_the_machines_root()?;
    let Some(before) = kernel_log() else {
        return impossible("/dev/kmsg can't be read here");
    };
    let node = node_for(place);
    let output = place.attack("read-kernel-log", &[&node]);
    let said = stdout(&output);
    let seen = before.iter().any(|record| said.contains(record));
    judge(&output, seen)
}

/// All its records: which one is the oldest changes while we look.
fn kernel_log() -> Option<Vec<String>> {
    let mut log = File::options();
    let log = log.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut log = log.open("/dev/kmsg").ok()?;
    let (mut record, mut records) = ([0; 8192], vec![]);
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                let line = text.lines().next().unwrap_or_default();
                records.push(line.escape_debug().to_string());
            }
            // What we were about to read is gone: from the oldest one on.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => return (!records.is_empty()).then_some(records),
        }
    }
}

pub fn read_disk(place: Place) -> Verdict {
    need_the_machines_root()?;
    let node = node_for(place);
    let output = place.attack("read-disk", &["", &node]);
    if output.status.code() == Some(3) {
        let reason = "this machine lets nobody read its disk";
        return impossible(reason);
    }
    judge(&output, stdout(&output).contains("\nWORKED: read 512 bytes"))
}

/// On the host itself, under a name that nobody else has.
fn node_for(place: Place) -> String {
    match place.step {
        0 => text(std::env::temp_dir().join(token())),
        _ => format!("/tmp/{}", token()),
    }
}

/// A user with one id, and a member of the group that may not read.
const USER: u32 = 1000;
const GROUP: u32 = 1234;

/// From step 05 on, by an ordinary user who has no range in /etc/subgid. With
/// one, the machine's owner has allowed groups to be left.
pub fn drop_group(place: Place) -> Verdict {
    need_other_ids()?;
    need_command("setpriv")?;
    let (volume, content) = (directory(), token());
    let secret = volume.path().join("secret");
    fs::write(&secret, &content).expect("write");
    chown(&secret, None, Some(GROUP)).expect("chown");
    fs::set_permissions(&secret, Permissions::from_mode(0o604)).expect("chmod");
    fs::set_permissions(volume.path(), Permissions::from_mode(0o755))
        .expect("chmod");
    let output = match place.step {
        0 => in_a_careless_user_namespace(&secret),
        _ => {
            let cache = Cache::new();
            chown(cache.path(), Some(USER), Some(USER)).expect("chown");
            let option = format!("{}:/mnt", text(volume.path()));
            let step = place.step().args(["-v", &option]);
            let step = step.args(["--", "attack", "drop-group", "/mnt/secret"]);
            cache.for_step(step).in_shell(&as_member_without_range()).output()
        }
    };
    judge(&output, stdout(&output).contains(&content))
}

fn as_member() -> String {
    format!("setpriv --reuid {USER} --regid {USER} --groups {USER},{GROUP}")
}

fn as_member_without_range() -> String {
    format!(
        "exec unshare --mount --propagation private bash -c '
            mount --bind /dev/null /etc/subuid
            mount --bind /dev/null /etc/subgid
            exec {} \"$@\"' bash \"$@\"",
        as_member()
    )
}

/// A helper with privileges writes the map, and forgets to deny setgroups, as
/// newgidmap(1) once did (CVE-2018-7169).
fn in_a_careless_user_namespace(secret: &Path) -> Output {
    let script = format!(
        "exec {} unshare --user sh -c 'echo ready; read go; \
         exec {} drop-group {}'",
        as_member(),
        text(binary("attack")),
        text(secret),
    );
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start bash");
    let mut said = BufReader::new(child.stdout.take().expect("stdout"));
    let mut ready = String::new();
    said.read_line(&mut ready).expect("read");
    assert_eq!(ready, "ready\n");
    for map in ["uid_map", "gid_map"] {
        let file = format!("/proc/{}/{map}", child.id());
        fs::write(file, format!("0 {USER} 1")).expect("write a map");
    }
    writeln!(child.stdin.take().expect("stdin"), "go").expect("go");
    let mut stdout = Vec::new();
    said.read_to_end(&mut stdout).expect("read");
    let status = child.wait().expect("wait");
    Output { status, stdout, stderr: Vec::new() }
}

/// The runtime is a copy, in a directory whose name nobody can guess. The
/// kernel gives ETXTBSY only to whoever may write the file.
pub fn overwrite_runtime(place: Place) -> Verdict {
    match place.step {
        1..5 => {}
        _ => need_other_ids()?,
    }
    let (root, copies) = (Root::new(), directory());
    fs::set_permissions(copies.path(), Permissions::from_mode(0o755))
        .expect("chmod");
    let name = token();
    let program = copies.path().join(&name);
    copy_program(&binary(STEPS[place.step - 1]), &program);
    let mut command = Command::new(&program);
    command.arg("-q").arg("--rootfs").arg(root.path());
    // Below step 03 the runtime has a number here: the shell's parent has it.
    let script = match place.step {
        1..3 => "attack overwrite-runtime $PPID",
        _ => "attack overwrite-runtime 1",
    };
    command.args((place.step >= 3).then_some("--init"));
    let output = command
        .args(["--", "/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .expect("start the copy");
    let said = stdout(&output);
    judge(&output, said.contains("\nWORKED: ") && said.contains(&name))
}
