//! The same as somebody who is not even root inside. It needs no capability,
//! no file, and no_new_privs does not matter: nothing is executed.

use crate::attack::{Attack, StoppedBy};
use crate::nest_as_root;

pub const ATTACK: Attack = Attack {
    name: "nest-as-user",
    tries: "make a user namespace as an ordinary user inside (-u 1000)",
    stopped: StoppedBy::Step(9),
    rule: nest_as_root::ATTACK.rule,
    source: "user_namespaces(7), no_new_privs in prctl(2), seccomp(2)",
    arguments: nest_as_root::ATTACK.arguments,
    run: nest_as_root::run,
};
