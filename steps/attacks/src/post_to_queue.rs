//! Posts to a POSIX message queue of the host. Queues have names of their own,
//! not file names: a chroot does not hide them.

use nix::mqueue::{MQ_OFlag, mq_open, mq_send};
use nix::sys::stat::Mode;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "post-to-queue",
    tries: "send a message to a POSIX queue of the host",
    stopped: StoppedBy::Step(2),
    rule: "an IPC namespace has message queues of its own",
    source: "ipc_namespaces(7), mq_overview(7)",
    arguments: &[
        Argument::new(
            "QUEUE",
            "/host",
            "its name; on the host: touch /dev/mqueue/host",
        ),
        Argument::new("TEXT", "pwned", "the message"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (name, text) = (arguments.text("QUEUE")?, arguments.text("TEXT")?);
    let flags = MQ_OFlag::O_WRONLY | MQ_OFlag::O_NONBLOCK;
    let queue = mq_open(name, flags, Mode::empty(), None);
    let queue = queue.or_stopped(format!("mq_open({name:?})"))?;
    mq_send(&queue, text.as_bytes(), 0).or_stopped("mq_send()")?;
    Ok(Outcome::Worked(format!("{text:?} is in the queue {name}")))
}
