//! A shell in the playground that is told one command after the other.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use testbed::binary;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads commands that end with a NUL, and ends the output of each with one.
/// After a command in the background it waits as long as a person would: until
/// the program, and the container that it starts, are really there. Before each
/// it waits as long as a person types: until the last container's cable, which
/// has lost its socket, is gone, too, and its address is free again.
const LOOP: &str = r#"
exec 2>&1
background=()
settle() {
    local pid=$1 exe child
    background+=("$pid")
    disown "$pid" # bash says nothing when it ends
    for _ in {1..200}; do
        [[ -e /proc/$pid ]] || return 0
        # Nobody may look at one that has just changed its ids: no answer.
        exe=$(readlink "/proc/$pid/exe") || exe=$WORKSHOP_BIN/0
        case $exe in
        "$BASH") [[ $pid == "$1" ]] || return 0 ;;
        "$WORKSHOP_BIN"/[0-9]*) child=$(pgrep -P "$pid") && pid=${child%%$'\n'*} ;;
        *) break ;;
        esac
        sleep 0.02
    done
    sleep 0.1
}
address_is_free() {
    local cable
    for cable in /sys/class/net/workshop-*; do
        [[ ! -e $cable ]] || grep -qF "@${cable##*/} [" /proc/net/unix || return 1
    done
}
while IFS= read -r -d '' command; do
    for _ in {1..250}; do ! address_is_free || break; sleep 0.02; done
    eval "$command" </dev/null
    [[ $command != *\& ]] || settle $!
    printf '\0'
done
kill -KILL "${background[@]}" 2>/dev/null
# What they listened at is free for the next shell.
for _ in {1..250}; do kill -0 "${background[@]}" 2>/dev/null || break; sleep 0.02; done
"#;

pub struct Session {
    bash: Child,
    output: Receiver<String>,
}

impl Session {
    /// In a playground of its own, or in the one that we are in.
    pub fn start(checkout: &Path) -> Session {
        let programs = binary("01-chroot");
        let programs = programs.parent().expect("a directory");
        let mut command = match std::env::var_os("PLAYGROUND") {
            Some(_) => Command::new("bash"),
            None => {
                let mut playground =
                    Command::new(checkout.join("scripts/playground.sh"));
                playground.args(["--", "bash"]);
                playground
            }
        };
        let mut bash = command
            .args(["--norc", "--noprofile", "-c", LOOP])
            .current_dir(checkout)
            .env("WORKSHOP_BIN", programs)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start bash");
        let mut stdout = bash.stdout.take().expect("stdout");
        let (sender, output) = channel();
        thread::spawn(move || {
            let (mut said, mut byte) = (Vec::new(), [0]);
            while stdout.read_exact(&mut byte).is_ok() {
                match byte {
                    [0] => {
                        let said = std::mem::take(&mut said);
                        let text = String::from_utf8_lossy(&said).into_owned();
                        if sender.send(text).is_err() {
                            break;
                        }
                    }
                    [byte] => said.push(byte),
                }
            }
        });
        Session { bash, output }
    }

    /// Runs a command to its end: what it and all that it started printed.
    pub fn run(&mut self, command: &str) -> Result<String, String> {
        let mut stdin = self.bash.stdin.as_ref().expect("stdin");
        stdin
            .write_all(format!("{command}\0").as_bytes())
            .map_err(|_| "the shell has ended")?;
        let output = self.output.recv_timeout(PATIENCE);
        let mut output =
            output.map_err(|e| format!("{e}, or the shell has ended"))?;
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        Ok(output)
    }

    /// What a block needs and this playground lacks, in words. What is no
    /// word of ours is a program.
    pub fn lacks(&mut self, need: &str) -> Option<String> {
        let program = format!("command -v {need}");
        let (test, reason) = match need {
            "range" => ("((PLAYGROUND_IDS > 1))", "a range in /etc/subuid"),
            "own" => ("[[ -O $WORKSHOP_BIN/01-chroot ]]", "programs of ours"),
            "cgroup" => {
                ("[[ $PLAYGROUND_CGROUP != none ]]", "a cgroup of ours")
            }
            "v1" => ("[[ $PLAYGROUND_CGROUP =~ v1|hybrid ]]", "cgroup v1"),
            "v2" => (
                "[[ $PLAYGROUND_CGROUP = v2 ]]",
                "cgroup v2, as the lab has it",
            ),
            "internet" => ("[[ $PLAYGROUND_INTERNET ]]", "the internet"),
            program_name => (&*program, program_name),
        };
        let said = self.run(&format!("{test} >/dev/null && echo yes"));
        (said.as_deref() != Ok("yes\n")).then(|| format!("needs {reason}"))
    }

    /// Ends the shell, and all that it left in the background.
    pub fn end(mut self) {
        drop(self.bash.stdin.take());
        self.bash.wait().expect("wait for bash");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.bash.stdin.take());
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}
