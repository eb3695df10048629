//! Debian's registry and skopeo, from the cache of `scripts/engines.sh`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use testbed::{checkout, needs, skip};

/// The registry, which runs until this is dropped.
pub struct Debian {
    directory: PathBuf,
    registry: Child,
    pub address: String,
}

impl Debian {
    /// With its data in a directory.
    pub fn start(data: &Path) -> Debian {
        needs::real_processor();
        let mut check = Command::new(checkout().join("scripts/engines.sh"));
        let check = check.arg("--check").output().expect("engines.sh");
        if !check.status.success() {
            skip("needs engines: ./scripts/engines.sh --get");
        }
        let directory = String::from_utf8(check.stdout).expect("a path");
        let directory = PathBuf::from(directory.trim_end());
        let config = data.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            data.join("registry").display()
        );
        fs::write(&config, text).expect("config.yml");
        let mut registry = program(&directory, "docker-registry")
            .arg("serve")
            .arg(config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let log = registry.stderr.take().expect("its log");
        let mut log = BufReader::new(log);
        let mut said = String::new();
        let address = loop {
            let begin = said.len();
            let count = log.read_line(&mut said).expect("a line of its log");
            assert!(count > 0, "docker-registry: {said}");
            let line = &said[begin..];
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split('"').next().expect("an address").to_owned();
            }
        };
        thread::spawn(move || log.read_to_end(&mut vec![]));
        Debian { directory, registry, address }
    }

    /// Copies an image, from one place to another.
    pub fn copy(&self, options: &[&str], from: &str, to: &str) {
        // It reads nothing of this machine's, and leaves nothing there: what it
        // remembers of blobs would be in /var/lib, or at home.
        let memory = tempfile::tempdir().expect("a directory");
        let mut skopeo = program(&self.directory, "skopeo");
        let settings = memory.path().join(".config/containers");
        fs::create_dir_all(&settings).expect("mkdir");
        fs::write(settings.join("registries.conf"), "").expect("a file");
        skopeo.env("_CONTAINERS_ROOTLESS_UID", "1");
        skopeo.env("HOME", memory.path());
        skopeo.env("XDG_DATA_HOME", memory.path());
        skopeo.arg("--registries.d").arg(memory.path());
        skopeo.args(["--insecure-policy", "copy", "--dest-tls-verify=false"]);
        let done = skopeo.args(options).args([from, to]).output();
        let done = done.expect("skopeo");
        assert!(done.status.success(), "skopeo {from} {to}: {done:?}");
    }

    pub fn busybox(&self) -> Vec<u8> {
        fs::read(self.directory.join("usr/bin/busybox")).expect("busybox")
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.registry.kill();
        let _ = self.registry.wait();
    }
}

/// With its own libraries, down to libc.
fn program(directory: &Path, name: &str) -> Command {
    let place = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let lib = directory.join(&place);
    let entries = fs::read_dir(&lib).expect("its libraries").flatten();
    let mut entries = entries.map(|it| it.path());
    let loader = entries.find(|it| {
        let name = it.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ld-linux-")
    });
    let libraries = [lib, directory.join("usr").join(place)];
    let libraries = std::env::join_paths(libraries).expect("paths");
    let mut command = Command::new(loader.expect("its loader"));
    command.arg("--library-path").arg(libraries);
    command.arg(directory.join("usr/bin").join(name));
    command
}
