//! Finds the host's System V shared memory. What is seen here can be attached
//! (shmat(2) has no safe binding, so this looks at what the kernel lists).

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "find-shared-memory",
    tries: "find a System V shared memory segment of the host",
    stopped: StoppedBy::Step(2),
    rule: "an IPC namespace begins empty, and sees its own segments only",
    source: "ipc_namespaces(7), sysvipc(7)",
    arguments: &[Argument::fact("SHMID", "on the host: ipcmk --shmem 4096")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let table = procfs::read("sysvipc/shm")
        .or_stopped("open(\"/proc/sysvipc/shm\")")?;
    let Some(wanted) = arguments.get("SHMID") else {
        return Ok(Outcome::CannotTry(
            "name a SHMID; on the host: ipcmk --shmem 4096".into(),
        ));
    };
    // key, shmid, perms, size, …
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = rows.filter(|row| row.len() > 3).find(|row| row[1] == wanted);
    Ok(match found {
        Some(row) => Outcome::Worked(format!(
            "segment {wanted} is here: {} bytes",
            row[3]
        )),
        None => Outcome::Stopped(format!(
            "ENOENT: no segment {wanted} in this namespace"
        )),
    })
}
