//! Executes a program whose file carries capabilities (setcap(8)), as ping and
//! dumpcap do: whoever runs it has them.

use crate::again::role;
use crate::attack::{
    Argument, Arguments, Attack, Outcome, STAY, StoppedBy, Try,
};
use crate::nest_as_root::capabilities;
use crate::run_setuid;

pub const ATTACK: Attack = Attack {
    name: "run-capable",
    tries: "gain a capability by a program whose file has it (-u 1000)",
    stopped: StoppedBy::Step(9),
    rule: "with no_new_privs, execve gives nobody more than they had",
    source: "capabilities(7) File capabilities, PR_SET_NO_NEW_PRIVS(2const)",
    arguments: &[
        Argument::new(
            "PROGRAM",
            "/bin/attack-capable",
            "a copy of this one; there: setcap cap_chown=ep PROGRAM",
        ),
        STAY,
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let own = capabilities()?;
    if role().is_some() {
        println!("{own:x}");
        return Ok(Outcome::Done("said what we may".into()));
    }
    if own != 0 {
        let how = "we have capabilities already: start it with -u 1000";
        return Ok(Outcome::CannotTry(how.into()));
    }
    let mask = run_setuid::answer(&ATTACK, arguments)?;
    Ok(match &*mask {
        "0" => Outcome::Stopped("it has no capability, as we have none".into()),
        mask => Outcome::Worked(format!("its capabilities are {mask}")),
    })
}
