//! What the lab makes once, and keeps: its image, and a QEMU if none is
//! installed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{Step, checkout, eventually, needs, skip, token};

use crate::pretended::{Lab, error, machine, mount};

/// A mirror on this machine, where nobody answers.
const NO_MIRROR: &str = "http://127.0.0.1:9/debian";

impl Lab {
    /// Packages with a QEMU that says so, and whose loader is a script.
    fn has_packages(&self, qemu: &str) {
        self.has_no_qemu();
        let tree = self.path("packages");
        let libraries = tree.join("lib/x86_64-linux-gnu");
        fs::create_dir_all(&libraries).expect("mkdir");
        for directory in ["bin", "lib", "share/qemu", "share/seabios"] {
            let directory = tree.join("usr").join(directory);
            fs::create_dir_all(directory).expect("mkdir");
        }
        self.has("loader", qemu);
        let loader = libraries.join("ld-linux-x86-64.so.2");
        fs::rename(self.path("programs/loader"), loader).expect("rename");
    }

    /// An mmdebstrap that brings them, and counts how often.
    fn has_mmdebstrap(&self) {
        let script = format!(
            "[[ $* != *=extract* ]] || {{ echo >>{}; tar -c -C {} .; }}",
            self.path("brought").display(),
            self.path("packages").display()
        );
        self.has("mmdebstrap", &script);
    }

    fn times_brought(&self) -> usize {
        let brought = fs::read_to_string(self.path("brought"));
        brought.unwrap_or_default().len()
    }

    /// Asks for everything that the lab keeps.
    fn asked_for_image(&self) -> Step {
        self.asked(&["--image"])
    }

    fn makes_image(&self) -> String {
        let output = self.asked_for_image().output();
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        self.leaves_nothing();
        error(&output)
    }

    /// What it keeps of a kind.
    fn kept(&self, kind: &str) -> Vec<PathBuf> {
        let cache = self.path("cache/container-workshop-lab");
        let entries = fs::read_dir(cache).into_iter().flatten().flatten();
        let is_kind = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(kind)
        };
        entries.map(|entry| entry.path()).filter(is_kind).collect()
    }

    /// Fails with the real mmdebstrap, and this as its mirror.
    fn fails_with_mirror(&self, mirror: &str) -> String {
        self.has_no_qemu();
        fs::remove_file(self.path("programs/mmdebstrap")).expect("remove");
        needs::command("mmdebstrap");
        let mut asked = self.asked_for_image();
        asked.command().env("LAB_MIRROR", mirror);
        let told = self.fails(asked);
        assert!(self.kept("qemu").is_empty());
        told
    }
}

/// Once, and without a machine.
pub fn its_image_can_be_made_beforehand() {
    let lab = Lab::new();
    let (made, booted) = (lab.path("made"), lab.path("booted"));
    lab.has("mmdebstrap", &format!("echo >>{}", made.display()));
    lab.has_qemu(&format!("echo >>{}", booted.display()));
    for _ in 0..2 {
        let output = lab.asked(&["--image"]).output();
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        lab.leaves_nothing();
    }
    assert_eq!(fs::read_to_string(made).expect("an image"), "\n");
    assert!(!booted.exists());
}

/// What a machine does whose users log in, and whose command ends well.
const BOOTS: &str = "echo boots >$console; : >$out; : >$err
    echo up >$control; echo 0 >$control; exec sleep 99";

impl Lab {
    /// Asks for Debian unstable, whose kernel does this.
    fn asked_for_unstable(&self, kernel: &str) -> Step {
        self.has_qemu(&machine(kernel, kernel));
        let mut asked = self.asked(&["--debian", "unstable", "--image"]);
        asked.command().env("LAB_BOOT_SECONDS", "60");
        asked
    }

    /// A week later.
    fn has_an_old_image(&self) {
        let image = &self.kept("image-unstable")[0];
        let touched = Command::new("touch")
            .args(["-d", "8 days ago"])
            .args([&image.join("disk"), image])
            .status();
        assert!(touched.expect("touch").success());
    }
}

const PANICS: &str =
    "echo 'Kernel panic - not syncing: unstable' >$console; exec sleep 99";

pub fn an_unstable_that_does_not_boot_is_not_kept() {
    let lab = Lab::new();
    let told = lab.fails(lab.asked_for_unstable(PANICS));
    assert!(told.contains("its kernel panicked"), "{told}");
    assert!(told.contains("is broken today"), "{told}");
    assert!(told.contains("No image of an earlier day is here"), "{told}");
    assert!(lab.kept("image").is_empty());
}

/// It is made anew after a week, and only then.
pub fn where_unstable_is_broken_the_last_good_one_goes_on_and_is_named() {
    let lab = Lab::new();
    let made = lab.path("made");
    let makes = format!("echo >>{}", made.display());
    let times = || fs::read_to_string(&made).unwrap_or_default().len();
    lab.has("mmdebstrap", &makes);
    let gets = |kernel: &str| {
        let output = lab.asked_for_unstable(kernel).output();
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        lab.leaves_nothing();
        error(&output)
    };
    for _ in 0..2 {
        assert!(!gets(BOOTS).contains("broken"));
        assert_eq!(times(), 1);
    }
    lab.has_an_old_image();
    let told = gets(PANICS);
    assert!(told.contains("its kernel panicked"), "{told}");
    let told = told.lines().last().unwrap_or_default();
    assert!(told.contains("is broken today, or can't be fetched"), "{told}");
    assert!(told.contains("goes on with the last good one, of 2"), "{told}");
    assert_eq!((times(), lab.kept("image").len()), (2, 1));

    // Once a day is enough.
    assert_eq!(gets(PANICS), "");
    lab.has_an_old_image();
    lab.has("mmdebstrap", "echo 'E: Failed to fetch' >&2; exit 1");
    let told = gets(BOOTS);
    assert!(told.contains("its packages can't be fetched"), "{told}");
    assert!(told.contains("goes on with the last good one"), "{told}");
    lab.has_an_old_image();
    lab.has("mmdebstrap", &makes);
    assert!(!gets(BOOTS).contains("broken"));
    assert_eq!((times(), lab.kept("image").len()), (3, 1));
}

/// Each is made once.
pub fn what_it_keeps_for_one_machine_stays_beside_that_for_another() {
    let (lab, made) = (Lab::new(), token());
    let made = lab.path(&made);
    lab.has("mmdebstrap", &format!("echo >>{}", made.display()));
    lab.has_qemu("exit 0");
    lab.has("qemu-system-aarch64", "echo QEMU emulator");
    let machines: [&[&str]; 3] =
        [&[], &["--arch", "arm64"], &["--debian", "13"]];
    for machine in machines.iter().chain(&machines) {
        let asked = lab.asked(&[machine, &["--image"][..]].concat());
        let output = asked.output();
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    }
    assert_eq!(fs::read_to_string(made).expect("images"), "\n\n\n");
    assert_eq!(lab.kept("image").len(), 3);
}

/// And no more than that: whatever is unpacked comes after it.
pub fn a_rust_that_can_not_compile_for_a_machine_is_told() {
    let lab = Lab::new();
    lab.has("rustc", "echo /nowhere");
    lab.has("cargo", "echo compiles");
    for words in [["--cargo", "build"], ["--", "true"]] {
        let mut asked = lab.asked(&[&["--arch", "arm64"], &words[..]].concat());
        asked.command().env_remove("WORKSHOP_BIN");
        asked.command().env("CARGO_TARGET_DIR", lab.path("target"));
        let told = lab.fails(asked);
        let advice = "rustup target add aarch64-unknown-linux-gnu";
        assert!(told.contains(advice), "{told}");
    }
    // For its own, it is cargo's word that counts.
    let output = lab.asked(&["--cargo", "build"]).output();
    assert_eq!(output.stdout, b"compiles\n", "{}", error(&output));
}

/// Cargo locks it: whoever compiles here meanwhile does not wait.
pub fn what_is_compiled_for_another_machine_has_a_directory_of_its_own() {
    let lab = Lab::new();
    lab.has("rustc", "echo /");
    lab.has("cargo", "echo in $CARGO_TARGET_DIR");
    lab.has_packages("exit 127");
    lab.has_mmdebstrap();
    for place in
        ["usr/lib/aarch64-linux-gnu", "usr/lib/gcc/aarch64-linux-gnu/1"]
    {
        let place = lab.path("packages").join(place);
        fs::create_dir_all(place).expect("mkdir");
    }
    let loader = lab.path("packages/lib/ld-linux-aarch64.so.1");
    fs::write(loader, "").expect("write");
    let mut asked = lab.asked(&["--arch", "arm64", "--cargo", "build"]);
    asked.command().env("CARGO_TARGET_DIR", lab.path("target"));
    let output = asked.output();
    let own = format!("in {}\n", lab.path("target/arm64").display());
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, own, "{}", error(&output));
}

/// Once. Nothing that could install something is called.
pub fn where_no_qemu_is_installed_it_unpacks_one_and_installs_nothing() {
    let lab = Lab::new();
    lab.has_packages("echo QEMU emulator");
    lab.has_mmdebstrap();
    let asked = lab.path("asked");
    for installs in ["apt-get", "apt", "dpkg", "sudo"] {
        lab.has(installs, &format!("echo {installs} >>{}", asked.display()));
    }
    let told = lab.makes_image();
    assert!(told.contains("unpacks a QEMU for itself"), "{told}");
    assert_eq!(lab.kept("qemu").len(), 1);
    assert!(!asked.exists(), "{:?}", fs::read_to_string(asked));
    assert_eq!(lab.makes_image(), "");
    assert_eq!(lab.times_brought(), 1);
}

/// The real one, which is in this machine's cache if no QEMU is installed. If
/// we are root, from a checkout that only root may enter.
pub fn its_own_qemu_boots_offline() {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or(home.join(".cache"));
    let installed = || {
        Command::new("dpkg-query")
            .arg("--show")
            .output()
            .ok()
            .map(|list| list.stdout)
    };
    let before = installed();
    let lab = Lab::new();
    lab.has_no_qemu();
    fs::remove_file(lab.path("programs/mmdebstrap")).expect("the real one");
    // Made now, if one is installed and the lab has not needed its own.
    let mut made = lab.around(Step::script("lab.sh")).args(["--image"]);
    made.command().env("XDG_CACHE_HOME", &cache).env_remove("LAB_MIRROR");
    if made.output().status.code() != Some(0) {
        skip("needs a QEMU of the lab's own, and so the network once");
    }
    let place = tempfile::tempdir_in(home).expect("a directory");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(checkout().join("scripts"))
        .arg(place.path())
        .status();
    assert!(copied.expect("cp").success());
    let ask = "exec scripts/lab.sh sh -c 'id -un; pwd; uname -r'";
    let mut asked = lab.around(Step::shell(ask));
    asked
        .command()
        .env("XDG_CACHE_HOME", &cache)
        .env("LAB_MIRROR", NO_MIRROR)
        .env("LAB_BOOT_SECONDS", "600")
        .current_dir(place.path());
    let output = asked.output();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    let here = format!("learner\n{}\n6.1.", place.path().display());
    assert!(said.starts_with(&here), "{said}");
    assert_eq!(installed(), before);
}

/// Even one that somebody has half removed.
pub fn a_copy_of_qemu_that_breaks_is_replaced() {
    let lab = Lab::new();
    lab.has_packages("echo QEMU emulator");
    lab.has_mmdebstrap();
    lab.makes_image();
    fs::remove_dir_all(lab.kept("qemu")[0].join("lib")).expect("remove");
    lab.makes_image();
    lab.makes_image();
    assert_eq!(lab.times_brought(), 2);
}

/// If the installed one does not run, there is still our own.
pub fn a_qemu_that_does_not_run_is_told() {
    let (lab, word) = (Lab::new(), token());
    let lacks = format!("echo 'libz.so.1 is not there {word}' >&2; exit 127");
    lab.has_packages("echo QEMU emulator");
    lab.has("qemu-system-x86_64", &lacks);
    lab.has_mmdebstrap();
    lab.makes_image();
    assert_eq!(lab.times_brought(), 1);

    let lab = Lab::new();
    lab.has_packages(&lacks);
    lab.has_mmdebstrap();
    let told = lab.fails(lab.asked_for_image());
    assert!(told.contains("QEMU does not run"), "{told}");
    assert!(told.contains(&word), "{told}");
}

/// By an error, and by a signal. The next run begins anew.
pub fn an_interrupted_download_leaves_nothing() {
    let lab = Lab::new();
    lab.has_packages("echo QEMU emulator");
    let half = format!(
        "tar -c -C {} . | head -c 1500",
        lab.path("packages").display()
    );
    lab.has(
        "mmdebstrap",
        &format!("{half}; echo 'E: it breaks off' >&2; exit 1"),
    );
    let told = lab.fails(lab.asked_for_image());
    assert!(told.contains("E: it breaks off"), "{told}");
    assert!(told.contains("QEMU can't be made"), "{told}");
    assert!(lab.kept("qemu").is_empty());

    // One that ends well, but brings only half.
    lab.has("mmdebstrap", &half);
    let told = lab.fails(lab.asked_for_image());
    assert!(told.contains("QEMU can't be unpacked"), "{told}");
    assert!(lab.kept("qemu").is_empty());

    // It has no program of its own by then. A program that is just about to
    // start has no mark; and a shell whose program has ended well ignores
    // Ctrl-C.
    let waits = lab.path("waits");
    let there = waits.display();
    let wait = format!("mkfifo {there}.fifo; : >{there}; read <>{there}.fifo");
    lab.has("mmdebstrap", &format!("{half}; {wait}"));
    let mut running = lab.asked_for_image().start();
    eventually("half of it", || waits.exists().then_some(()));
    // Like Ctrl-C: to all of them.
    for pid in lab.watch.processes() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    }
    assert_ne!(running.ended(), 0);
    lab.leaves_nothing();
    assert!(lab.kept("qemu").is_empty());

    lab.has_mmdebstrap();
    lab.makes_image();
    assert_eq!(lab.kept("qemu").len(), 1);
}

pub fn offline_it_says_what_it_needs_the_network_for() {
    needs::root();
    let told = Lab::new().fails_with_mirror(NO_MIRROR);
    assert!(told.contains("Connection refused"), "{told}");
    assert!(
        told.contains("QEMU can't be made: its packages can't be fetched"),
        "{told}"
    );
    assert!(told.contains("afterwards the lab works offline"), "{told}");
}

/// As a hotel's network does, which wants you to log in.
pub fn a_network_that_answers_for_the_mirror_is_told() {
    needs::root();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        let page = "<html>Please log in</html>";
                        let _ = write!(
                            &stream,
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}",
                            page.len()
                        );
                    }
                }
            });
        }
    });
    let told =
        Lab::new().fails_with_mirror(&format!("http://{address}/debian"));
    assert!(
        told.contains("does the network require authentication?"),
        "{told}"
    );
    assert!(told.contains("its packages can't be fetched"), "{told}");
}

/// A real apt that has no lists, and mirrors in a directory.
pub fn without_package_lists_it_asks_apt_for_its_mirrors() {
    needs::command("apt-get");
    let lab = Lab::new();
    let mirrors = lab.path("mirrors");
    let made = Command::new("bash")
        .arg("-euc")
        .arg(MIRRORS)
        .arg("bash")
        .arg(&mirrors)
        .status();
    assert!(made.expect("bash").success());
    let sources = lab.path("sources");
    lab.has("mmdebstrap", &format!("cat >{}", sources.display()));
    lab.has_qemu("exit 0");
    let mut asked = lab.asked(&["--image"]);
    asked
        .command()
        .env_remove("LAB_MIRROR")
        .env("APT_CONFIG", mirrors.join("apt.conf"));
    let output = asked.output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let sources = fs::read_to_string(sources).expect("sources");
    let place = mirrors.display();
    for (mirror, suite) in [
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
    ] {
        let line = format!("deb file:{place}/{mirror}/ {suite} main\n");
        assert!(sources.contains(&line), "{line}: {sources}");
    }
    lab.leaves_nothing();
}

const MIRRORS: &str = r#"
mkdir -p "$1"/no-lists && cd "$1"
printf 'Package: none\nVersion: 1\nArchitecture: all\n' >Packages
hash=$(sha256sum Packages) size=$(stat -c %s Packages) arch=$(dpkg --print-architecture)
while read -r directory label suite; do
    mkdir -p "$directory/dists/$suite/main/binary-$arch"
    cp Packages "$directory/dists/$suite/main/binary-$arch"
    printf '%s\n' 'Origin: Debian' "Label: $label" "Codename: $suite" \
        'Date: Sat, 01 Jan 2000 00:00:00 UTC' \
        'SHA256:' " ${hash%% *} $size main/binary-$arch/Packages" >"$directory/dists/$suite/Release"
    echo "deb [trusted=yes] file:$1/$directory $suite main" >>sources.list
done <<END
debian Debian bookworm
debian-security Debian-Security bookworm-security
END
printf '%s "%s";\n' Dir::State::lists "$1/no-lists" Dir::Etc::sourcelist "$1/sources.list" \
    Dir::Etc::sourceparts /dev/null >apt.conf
"#;

pub fn a_full_disk_is_told() {
    needs::disposable_host();
    needs::root();
    let lab = Lab::new();
    lab.has_qemu("exit 0");
    let told = lab.fails_in_room_of("9m", lab.asked(&["true"]));
    assert!(told.contains("the disk is full"), "{told}");
    assert!(told.contains("needs 1000 MB"), "{told}");
}

/// There seemed to be enough room, but somebody else was faster, or QEMU has
/// grown.
pub fn a_disk_that_fills_up_is_told() {
    needs::disposable_host();
    needs::root();
    let lab = Lab::new();
    lab.has_packages("echo QEMU emulator");
    let large = lab.path("packages/usr/lib/large");
    let made =
        Command::new("truncate").args(["-s", "200M"]).arg(large).status();
    assert!(made.expect("truncate").success());
    lab.has_mmdebstrap();
    let told = lab.fails_in_room_of("301m", lab.asked_for_image());
    assert!(told.contains("No space left on device"), "{told}");
    assert!(told.contains("QEMU can't be unpacked"), "{told}");
}

impl Lab {
    fn fails_in_room_of(&self, size: &str, asked: Step) -> String {
        let cache = self.path("cache");
        fs::create_dir(&cache).expect("mkdir");
        let room = ["-t", "tmpfs", "-o", &format!("size={size}"), "small"];
        mount("mount", &room, &cache);
        let output = asked.output();
        mount("umount", &[], &cache);
        assert_eq!(output.status.code(), Some(125), "{}", error(&output));
        error(&output)
    }
}
