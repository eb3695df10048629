//! A lab whose QEMU is a program that we make.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use testbed::watch::Watch;
use testbed::{Step, needs, skip};

/// The programs of this machine, except those that are made here; and a cache
/// whose image nobody really makes.
pub struct Lab {
    place: TempDir,
    is_playground: bool,
    pub watch: Watch,
}

impl Lab {
    pub fn new() -> Lab {
        for program in ["mke2fs", "setpriv", "flock"] {
            needs::command(program);
        }
        if std::env::consts::ARCH != "x86_64" {
            skip("the lab is for x86_64");
        }
        let place = tempfile::tempdir().expect("a directory");
        // A playground's /tmp has less room than the lab asks for.
        let is_playground = std::env::var_os("PLAYGROUND").is_some();
        if is_playground {
            let room = ["-t", "tmpfs", "-o", "size=2g", "room"];
            mount("mount", &room, place.path());
        }
        let lab = Lab { place, is_playground, watch: Watch::begin() };
        fs::create_dir(lab.place.path().join("programs")).expect("mkdir");
        lab.has("mmdebstrap", "exit 0");
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn has(&self, program: &str, script: &str) {
        let file = self.path("programs").join(program);
        fs::write(&file, format!("#!/bin/bash\n{script}\n")).expect("write");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(file, executable).expect("chmod");
    }

    /// One that states its version, like a real one, and plays a machine by
    /// `script`.
    pub fn has_qemu(&self, script: &str) {
        let version = "echo 'QEMU emulator version 0'; exit";
        let script =
            format!("[[ $* != *--version* ]] || {{ {version}; }}\n{script}");
        self.has("qemu-system-x86_64", &script);
    }

    /// If this machine has one, it no longer runs.
    pub fn has_no_qemu(&self) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path);
        if places.any(|place| place.join("qemu-system-x86_64").exists()) {
            self.has("qemu-system-x86_64", "exit 127");
        }
    }

    pub fn asked(&self, arguments: &[&str]) -> Step {
        self.around(Step::script("lab.sh")).args(arguments)
    }

    pub fn around(&self, lab: Step) -> Step {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.path("programs").display());
        let mut lab = self.watch.over_script(lab);
        lab.command()
            .env("PATH", path)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TMPDIR", self.place.path())
            .env("WORKSHOP_BIN", self.path("no-programs"))
            .env("LAB_MIRROR", "http://mirror.invalid/debian")
            .env("LAB_BOOT_SECONDS", "1");
        fs::create_dir_all(self.path("no-programs")).expect("mkdir");
        lab
    }

    pub fn fails(&self, lab: Step) -> String {
        let output = lab.output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{told}");
        self.leaves_nothing();
        told
    }

    /// Nothing but the image, for the next time.
    pub fn leaves_nothing(&self) {
        let cache = self.path("cache/container-workshop-lab");
        let entries = fs::read_dir(cache).into_iter().flatten().flatten();
        let left: Vec<_> = entries
            .filter(|it| it.file_name().to_string_lossy().starts_with("run."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        self.watch.assert_nothing_left("lab.sh");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_playground {
            mount("umount", &["--lazy"], self.place.path());
        }
    }
}

/// What the machine writes to its console and to its control port, and what
/// becomes of it.
pub fn machine(kvm: &str, tcg: &str) -> String {
    format!(
        r#"for word; do
            case $word in
                file:*/console) console=${{word#file:}} ;;
                pipe,id=control,*) control=${{word#*path=}}.out ;;
                file,id=out,*) out=${{word#*path=}} ;;
                file,id=err,*) err=${{word#*path=}} ;;
            esac
        done
        if [[ $* == *"-accel kvm"* ]]; then {kvm}; else {tcg}; fi"#
    )
}

pub fn mount(program: &str, words: &[&str], place: &Path) {
    let done = Command::new(program).args(words).arg(place).status();
    assert!(done.expect("mount").success());
}

pub fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
