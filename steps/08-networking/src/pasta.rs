//! The way out for an ordinary user, who may not plug a cable into the host:
//! pasta ([passt](https://passt.top)). It reads the container's packets from a
//! tap device, and says what is in them through sockets of its own: for the
//! host, the container is one more program of that user.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::iter;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use runtime::{Because, Failure, Host, helper_program, shell};

use crate::port::{Protocol, Published};

/// pasta outlives the process that it serves. This shell does not outlive us:
/// its input ends when we do, even by SIGKILL. (SIGTERM is blocked in our
/// children, as it is in us.)
const ENDS_WITH_US: &str =
    r#""$@" 2>&1 & exec >&-; read -r _; kill -KILL "$!""#;

/// Debian 12's AppArmor profile of passt lets pasta open no other process's
/// namespaces. What was opened for it, it may use.
const OPENED_FOR_IT: &str =
    r#"exec 8<"/proc/$1/ns/user" 9<"/proc/$1/ns/net"; shift; "#;
const OPENED: [&str; 5] = [
    "--userns",
    "/proc/self/fd/8",
    "--netns",
    "/proc/self/fd/9",
    // It would look for the name to vanish, and this one never does.
    "--no-netns-quit",
];

/// pasta at work, as long as this exists.
#[derive(Debug)]
pub struct Pasta {
    shell: Child,
    /// What it still says goes nowhere; a closed pipe would end it.
    _output: BufReader<ChildStdout>,
}

impl Pasta {
    /// Starts it, and returns when the container's network is there. Without
    /// pasta there is none, which is told, and is an error if ports shall be
    /// published.
    pub fn start(
        container: &Host,
        ports: &[Published],
        device: &str,
    ) -> Result<Option<Pasta>> {
        let pid = container.pid.to_string();
        let mut words = words(ports, device);
        words.push(pid.clone());
        let started = container.call(
            "execve(\"pasta\", …)",
            "we may not change this host's network: out by sockets of our own",
            shell(&words),
            || spawn(ENDS_WITH_US, &words),
        )?;
        let mut outcome = Pasta::wait(started)?;
        if outcome.as_ref().is_err_and(|why| why.contains("namespace")) {
            words.pop();
            words.extend(OPENED.map(str::to_owned));
            let script = format!("{OPENED_FOR_IT}{ENDS_WITH_US}");
            let shell = format!(
                "{} 8</proc/{pid}/ns/user 9</proc/{pid}/ns/net",
                shell(&words)
            );
            let started = container.routine(|| {
                container.call(
                    "execve(\"pasta\", …)",
                    "it may not open the container's namespaces (AppArmor): we do",
                    shell,
                    || spawn(&script, iter::once(&pid).chain(&words)),
                )
            })?;
            outcome = Pasta::wait(started)?;
        }
        let why = match outcome {
            Ok(pasta) => {
                warn_of_udp(container, ports);
                return Ok(Some(pasta));
            }
            Err(why) => why,
        };
        if let [port, ..] = ports {
            bail!("-p {port}: without root this needs pasta: {why}");
        }
        container.note(format!("no network but a loopback of its own: {why}"));
        Ok(None)
    }

    /// It says its process id when it is ready, or what keeps it from it.
    fn wait(mut shell: Child) -> Result<Result<Pasta, String>> {
        let output = shell.stdout.take().context("the shell has no stdout")?;
        let mut output = BufReader::new(output);
        let mut last = String::new();
        loop {
            let mut line = String::new();
            let length =
                output.read_line(&mut line).context("read() of pasta")?;
            let line = line.trim();
            if length == 0 {
                let _ = Pasta { shell, _output: output };
                return Ok(Err(last));
            }
            if line.parse::<u32>().is_ok() {
                return Ok(Ok(Pasta { shell, _output: output }));
            }
            if !line.contains("syslog") {
                last = explain(line);
            }
        }
    }
}

/// Until August 2024 pasta did not bring an answer back to the host itself. Its
/// versions are dates of many forms; an option of that month tells.
fn warn_of_udp(container: &Host, ports: &[Published]) {
    let help = helper_program::run(Command::new("pasta").arg("--help"));
    let is_new =
        help.is_ok_and(|(_, said)| said.contains("--map-host-loopback"));
    for port in ports {
        if port.protocol == Protocol::Udp && !is_new {
            container.note(format!(
                "-p {port}: other machines get an answer, but this one gets none, \
                 because pasta is older than August 2024"
            ));
        }
    }
}

impl Drop for Pasta {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn spawn<'a>(
    script: &str,
    words: impl IntoIterator<Item = &'a String>,
) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", script, "sh"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// Of what pasta says only the usual cause is worth a better word.
fn explain(said: &str) -> String {
    if said.contains("not found") {
        return "an ordinary user gets one from pasta, which is not installed (its package \
                is passt; ./scripts/setup.sh installs it)"
            .into();
    }
    let tun = OpenOptions::new().write(true).open("/dev/net/tun");
    let tun = tun
        .map_err(|error| Failure::of("open(\"/dev/net/tun\")", error))
        .because(
            Errno::EACCES,
            "pasta needs it; most systems give it the mode 0666: sudo chmod 666 /dev/net/tun",
        )
        .because(Errno::ENOENT, "pasta needs it: sudo modprobe tun");
    match tun {
        Err(failure) => failure.to_string(),
        Ok(_) => format!("pasta: {said}"),
    }
}

fn words(ports: &[Published], device: &str) -> Vec<String> {
    let mut words: Vec<String> = [
        "pasta",
        "--foreground",
        "--quiet",
        "--ipv4-only",
        "--config-net",
        "--ns-ifname",
        device,
        "--pid",
        "/dev/stdout",
        // What listens on the host's loopback stays the host's.
        "--no-map-gw",
        "--tcp-ns",
        "none",
        "--udp-ns",
        "none",
    ]
    .map(str::to_owned)
    .into();
    for (option, protocol) in
        [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)]
    {
        let own = ports.iter().filter(|port| port.protocol == protocol);
        let mut own: Vec<_> = own.map(in_its_words).collect();
        if own.is_empty() {
            own.push("none".into());
        }
        words.extend(own.into_iter().flat_map(|port| [option.into(), port]));
    }
    words
}

fn in_its_words(port: &Published) -> String {
    let Published { address, host, container, .. } = port;
    match address {
        Some(address) => format!("{address}/{host}:{container}"),
        None => format!("{host}:{container}"),
    }
}
