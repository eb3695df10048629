//! Puts code of its own into the kernel, where no wall of a container stops it.
//! Here it is one of the kernel's own modules, which does no harm.

use std::fs::File;

use nix::kmod::{ModuleInitFlags, finit_module};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::lab;

pub const ATTACK: Attack = Attack {
    name: "load-module",
    tries: "put code into the kernel",
    stopped: StoppedBy::Step(5),
    rule: "finit_module needs CAP_SYS_MODULE in the first user namespace",
    source: "finit_module(2), user_namespaces(7)",
    arguments: &[Argument::new(
        "FILE",
        "/module.ko",
        "a module, brought along as by an image",
    )],
    run,
};

fn run(arguments: &Arguments) -> Try {
    lab::require()?;
    let file = arguments.text("FILE")?;
    let module = match File::open(file) {
        Ok(module) => module,
        Err(error) => {
            return Ok(Outcome::CannotTry(format!("open({file:?}): {error}")));
        }
    };
    finit_module(&module, c"", ModuleInitFlags::empty())
        .or_stopped(format!("finit_module({file:?})"))?;
    Ok(Outcome::Worked(format!("{file} is part of the kernel")))
}
