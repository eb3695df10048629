//! Step 02: names and IPC.

use std::fs;

use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_receive, mq_unlink};
use nix::sys::stat::Mode;
use nix::unistd::sethostname;
use testbed::{needs, token};

use crate::places::{Place, judge_output, run, stdout, steps};

pub fn the_host_is_renamed() {
    needs::playground();
    let hostname = || {
        let name = fs::read_to_string("/proc/sys/kernel/hostname");
        name.expect("read the hostname").trim_end().to_owned()
    };
    let old = hostname();
    for place in [Place::Host].into_iter().chain(steps()) {
        let new = token();
        let output = place.attack("rename-host", &[&new, &old]);
        let seen = hostname() == new;
        sethostname(&old).expect("give the host its name back");
        judge_output("rename-host", place, &output, seen);
    }
}

pub fn a_shared_memory_segment_is_found() {
    needs::playground();
    needs::command("ipcmk");
    // A size that nobody can guess is the fact to be found out.
    let random = token();
    let digits = random.chars().filter(char::is_ascii_digit).take(5);
    let size = format!("1{}", digits.collect::<String>());
    let made = stdout(&run("ipcmk", ["--shmem", &size]));
    let id = made.rsplit(' ').next().expect("an id").trim().to_owned();
    for place in [Place::Host].into_iter().chain(steps()) {
        let output = place.attack("find-shared-memory", &[&id]);
        let seen = stdout(&output).contains(&format!("{size} bytes"));
        judge_output("find-shared-memory", place, &output, seen);
    }
    assert!(run("ipcrm", ["--shmem-id", &id]).status.success());
}

pub fn a_queue_is_posted_to() {
    needs::playground();
    let name = format!("/{}", token());
    let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_CREAT | MQ_OFlag::O_NONBLOCK;
    let shape = MqAttr::new(0, 10, 64, 0);
    let owner = Mode::S_IRUSR | Mode::S_IWUSR;
    let queue = mq_open(name.as_str(), flags, owner, Some(&shape));
    let queue = queue.expect("make a queue");
    for place in [Place::Host].into_iter().chain(steps()) {
        let message = token();
        let output = place.attack("post-to-queue", &[&name, &message]);
        let mut arrived = [0; 64];
        let length = mq_receive(&queue, &mut arrived, &mut 0).unwrap_or(0);
        let seen = arrived[..length] == *message.as_bytes();
        judge_output("post-to-queue", place, &output, seen);
    }
    mq_unlink(name.as_str()).expect("remove the queue");
}
