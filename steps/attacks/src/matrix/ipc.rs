//! Step 02: names and IPC.

use std::fs;

use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_receive, mq_unlink};
use nix::sys::stat::Mode;
use nix::unistd::sethostname;
use testbed::token;

use crate::places::{Place, Verdict, judge, need_command, run, stdout};

pub fn rename_host(place: Place) -> Verdict {
    let hostname = || {
        let name = fs::read_to_string("/proc/sys/kernel/hostname");
        name.expect("read the hostname").trim_end().to_owned()
    };
    let (old, new) = (hostname(), token());
    let output = place.attack("rename-host", &[&new, &old]);
    let seen = hostname() == new;
    if seen {
        sethostname(&old).expect("give the host its name back");
    }
    judge(&output, seen)
}

/// A size that nobody can guess is the fact to be found out.
pub fn find_shared_memory(place: Place) -> Verdict {
    need_command("ipcmk")?;
    let random = token();
    let digits = random.chars().filter(char::is_ascii_digit).take(5);
    let size = format!("1{}", digits.collect::<String>());
    let made = stdout(&run("ipcmk", ["--shmem", &size]));
    let id = made.rsplit(' ').next().expect("an id").trim().to_owned();
    let output = place.attack("find-shared-memory", &[&id]);
    let seen = stdout(&output).contains(&format!("{size} bytes"));
    assert!(run("ipcrm", ["--shmem-id", &id]).status.success());
    judge(&output, seen)
}

pub fn post_to_queue(place: Place) -> Verdict {
    let (name, message) = (format!("/{}", token()), token());
    let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_CREAT | MQ_OFlag::O_NONBLOCK;
    let shape = MqAttr::new(0, 10, 64, 0);
    let owner = Mode::S_IRUSR | Mode::S_IWUSR;
    let queue = mq_open(name.as_str(), flags, owner, Some(&shape));
    let queue = queue.expect("make a queue");
    let output = place.attack("post-to-queue", &[&name, &message]);
    let mut arrived = [0; 64];
    let length = mq_receive(&queue, &mut arrived, &mut 0).unwrap_or(0);
    mq_unlink(name.as_str()).expect("remove the queue");
    judge(&output, arrived[..length] == *message.as_bytes())
}
