#![forbid(unsafe_code)]
//! Claims of step 07, judged from outside.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tar::{EntryType, Header};
use tempfile::TempDir;
use testbed::watch::{Watch, cgroups_of, strike_before_any_call};
use testbed::{
    Step, copy_default_root, eventually, needs, patience, proc, skip, token,
};

testbed::main!(
    the_root_is_an_overlay_whose_upper_layer_is_memory,
    what_is_written_leaves_the_root_directory_as_it_was,
    a_container_can_not_poison_the_shell_of_the_next,
    the_last_layer_is_on_top,
    an_upper_directory_keeps_what_was_written_and_is_a_layer,
    what_was_removed_is_a_whiteout_and_what_was_replaced_is_opaque,
    an_upper_directory_has_one_writer,
    the_root_belongs_to_root_and_is_not_for_all_to_write,
    names_may_hold_what_separates_names,
    a_tar_file_is_a_layer_plain_or_compressed,
    what_zstd_packed_is_a_layer_too,
    what_a_tar_file_says_of_modes_links_and_owners_holds,
    a_tar_file_with_closed_directories_can_be_taken_away_again,
    nothing_in_a_tar_file_leads_out,
    devices_are_left_out_with_a_note,
    what_a_tar_file_deletes_stays_deleted,
    an_upper_directory_in_a_tar_file_deletes_the_same,
    a_whiteout_that_means_nothing_is_refused,
    whiteouts_in_a_directory_are_refused,
    a_sparse_file_is_whole_or_refused,
    what_gnu_tar_adds_is_right_or_refused,
    what_pax_adds_is_right_or_refused,
    two_tar_files_in_one_are_refused,
    a_tar_file_is_unpacked_once_and_again_when_it_changes,
    what_was_unpacked_stays_while_somebody_uses_it,
    who_interrupts_while_a_tar_file_is_unpacked_is_heard,
    a_tar_file_is_unpacked_for_each_who_is_root_inside,
    a_capability_of_a_file_is_for_root_inside,
    eight_containers_at_once_share_one_tar_file,
    what_is_no_tar_file_is_told_and_leaves_nothing,
    bad_input_is_told_in_one_line,
    more_layers_than_the_kernel_looks_at_are_refused,
    an_upper_directory_of_somebody_else_is_refused,
    the_root_may_lie_on_an_overlay_and_the_upper_directory_not,
    a_mount_below_the_root_is_told,
    volumes_limits_and_an_init_work_on_an_overlay,
    nothing_is_left_after_sigint_before_any_call,
    nothing_is_left_after_sigterm_before_any_call,
    nothing_is_left_after_sigkill_before_any_call,
);

const STEP: &str = "07-overlayfs";

/// A directory that everybody may enter, and a cache of its own in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&directory, mode).expect("chmod");
        Place(directory)
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.path().join(Path::new(name.as_ref()))
    }

    /// A directory with files, for a layer.
    fn layer(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let layer = self.path(name);
        fs::create_dir_all(&layer).expect("mkdir");
        for (file, text) in files {
            let file = layer.join(file);
            fs::create_dir_all(file.parent().expect("a parent"))
                .expect("mkdir");
            fs::write(file, text).expect("write");
        }
        layer
    }

    /// The step, with the cache in here: what a tar file leaves can be seen.
    fn step(&self) -> Step {
        let mut step = Step::new(STEP);
        step.command().env("XDG_CACHE_HOME", self.path("cache"));
        step
    }

    fn unpacked(&self) -> Vec<PathBuf> {
        let cache = self.path("cache/container-workshop");
        let names = fs::read_dir(cache).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.path());
        let is_layer = |path: &PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy();
            name.starts_with("layer-") || name.starts_with("new-")
        };
        names.filter(is_layer).collect()
    }
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Everything in a directory: kind, mode, owner and content.
fn summary(of: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut to_look_at = vec![of.to_owned()];
    while let Some(path) = to_look_at.pop() {
        let there = fs::symlink_metadata(&path).expect("it is there");
        let mut hasher = DefaultHasher::new();
        (there.mode(), there.uid(), there.gid(), there.mtime_nsec())
            .hash(&mut hasher);
        if there.is_dir() {
            let entries = fs::read_dir(&path).expect("read it").flatten();
            to_look_at.extend(entries.map(|entry| entry.path()));
        } else if there.is_file() {
            fs::read(&path).expect("read it").hash(&mut hasher);
        }
        found.insert(path, hasher.finish());
    }
    found
}

/// The directory below the container's root: the same for all its runs.
fn default_root(place: &Place) -> PathBuf {
    assert!(place.step().args(["true"]).output().status.success());
    let cache = place.path("cache/container-workshop");
    let names = fs::read_dir(cache).expect("the cache").flatten();
    let root = names.map(|entry| entry.path()).find(|path| path.is_dir());
    root.expect("a root directory")
}

/// Who on the host is root inside.
fn root_inside() -> (u32, u32) {
    let container = Step::new(STEP).start_waiting();
    let outside = |key| {
        let ids = proc::status(container.pid(), key).expect("ids");
        ids.split_whitespace().next().expect("an id").parse().expect("an id")
    };
    (outside("Uid"), outside("Gid"))
}

fn the_root_is_an_overlay_whose_upper_layer_is_memory() {
    let place = Place::new();
    let container = place.step().start_waiting();
    let mounts = proc::mounts(container.pid());
    let root = mounts.iter().find(|mount| mount.place == "/");
    assert_eq!(root.expect("a root").kind, "overlay");
    // Nothing of what lies below it has a name inside.
    let cache = place.path("cache");
    let script = format!("ls -d /merged /upper /work {}", cache.display());
    assert_eq!(place.step().sh(&script).output().stdout, b"");
}

fn what_is_written_leaves_the_root_directory_as_it_was() {
    let place = Place::new();
    let root = default_root(&place);
    let before = summary(&place.path("cache"));
    assert!(before.len() > 20);
    let script = "echo x > /etc/passwd; rm -rf /usr/bin/awk /mnt; mkdir /mnt; \
        chmod 777 /etc; touch /new; echo x > /bin/env; mv /tmp /tmp2; \
        dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null; cat /etc/passwd";
    assert_eq!(place.step().sh(script).stdout(), "x");
    assert_eq!(summary(&place.path("cache")), before, "{root:?}");
}

fn a_container_can_not_poison_the_shell_of_the_next() {
    let word = token();
    let script = format!(
        "rm /bin/sh; printf '#!/bin/cat\\n{word}' > /bin/sh; chmod 755 /bin/sh"
    );
    assert!(Step::new(STEP).sh(&script).output().status.success());
    let next = Step::new(STEP).sh("echo fine; cat /bin/sh").output();
    assert!(next.stdout.starts_with(b"fine\n"));
    let said = String::from_utf8_lossy(&next.stdout).into_owned();
    assert!(!said.contains(&word));
    // One step below it works, in a root directory of this claim's own.
    needs::root();
    let place = Place::new();
    let root = place.path("root");
    copy_default_root(&root);
    for step in ["04-mount-namespace", STEP] {
        let shared = || Step::new(step).arg("--rootfs", &root);
        let _ = shared().sh(&script).output();
        let next = shared().args(["/bin/sh"]).output();
        let said = String::from_utf8_lossy(&next.stdout).into_owned();
        assert_eq!(said.contains(&word), step != STEP, "{step}: {said}");
        if step != STEP {
            fs::remove_dir_all(&root).expect("remove it");
            copy_default_root(&root);
        }
    }
}

fn the_last_layer_is_on_top() {
    let place = Place::new();
    let words = [token(), token(), token()];
    let [one, two, three] = &words;
    let layers = [
        place.layer("one", &[("all", one), ("etc/one", one), ("two", one)]),
        place.layer("two", &[("all", two), ("etc/two", two), ("two", two)]),
        place.layer("three", &[("all", three), ("etc/hosts", three)]),
    ];
    let mut step = Step::new(STEP);
    for layer in &layers {
        step = step.arg("--layer", layer);
    }
    let script = "for f in all two etc/one etc/two etc/hosts; do cat /$f; \
        echo; done; test -f /etc/passwd && echo root";
    let expected = format!("{three}\n{two}\n{one}\n{two}\n{three}\nroot");
    assert_eq!(step.sh(script).stdout(), expected);
    // The other way round, the other one wins.
    let step =
        Step::new(STEP).arg("--layer", &layers[2]).arg("--layer", &layers[0]);
    assert_eq!(step.args(["cat", "/all"]).stdout(), *one);
}

fn an_upper_directory_keeps_what_was_written_and_is_a_layer() {
    let (place, word) = (Place::new(), token());
    let upper = place.path("upper");
    let with = |option| Step::new(STEP).arg(option, &upper);
    let script = format!("mkdir -p /a/b; echo {word} > /a/b/c");
    assert_eq!(with("--upper").sh(&script).stdout(), "");
    let kept = upper.join("a/b/c");
    assert_eq!(fs::read_to_string(&kept).expect("it is kept").trim(), word);
    let owner = fs::metadata(&kept).expect("it is kept");
    assert_eq!((owner.uid(), owner.gid()), root_inside());
    // Nothing beside it: the kernel's work directory is gone.
    let names = fs::read_dir(place.0.path()).expect("the place").count();
    assert_eq!(names, 1);
    for option in ["--layer", "--upper"] {
        assert_eq!(with(option).args(["cat", "/a/b/c"]).stdout(), word);
    }
    // As a layer it is not written to any more.
    let _ = with("--layer").sh("rm -rf /a; touch /new").output();
    assert_eq!(fs::read_to_string(&kept).expect("it is kept").trim(), word);
    assert!(!upper.join("new").exists());
}

fn needs_user_attributes(place: &Place) {
    let set = rustix::fs::setxattr(
        place.0.path(),
        "user.workshop",
        b"y",
        rustix::fs::XattrFlags::empty(),
    );
    if set.is_err() {
        skip("needs a directory for files that takes user attributes");
    }
}

fn what_was_removed_is_a_whiteout_and_what_was_replaced_is_opaque() {
    let place = Place::new();
    needs_user_attributes(&place);
    let upper = place.path("upper");
    let script = "rm /etc/hosts; rm -r /mnt; mkdir /mnt; echo x > /mnt/new";
    assert_eq!(Step::new(STEP).arg("--upper", &upper).sh(script).stdout(), "");
    let gone = fs::symlink_metadata(upper.join("etc/hosts")).expect("it");
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0, "a device of the numbers 0 and 0");
    let layered = Step::new(STEP).arg("--layer", &upper);
    let script = "ls /etc/hosts 2>/dev/null; ls /mnt";
    assert_eq!(layered.sh(script).stdout(), "new");
    let mut value = [0; 8];
    let name = "user.overlay.opaque";
    let length = rustix::fs::getxattr(upper.join("mnt"), name, &mut value);
    assert_eq!(&value[..length.expect("an attribute")], b"y");
}

fn an_upper_directory_has_one_writer() {
    let place = Place::new();
    let upper = place.path("upper");
    symlink("upper", place.path("link")).expect("symlink");
    let first = Step::new(STEP).arg("--upper", &upper).start_waiting();
    for name in ["upper", "link", "./../upper"] {
        let name = match name.starts_with('.') {
            true => place.0.path().join(".").join("upper"),
            false => place.path(name),
        };
        let second = Step::new(STEP).arg("--upper", name).args(["true"]);
        let output = second.output();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(error(&output).contains("another container"), "{output:?}");
    }
    let (status, _) = first.finish();
    assert_eq!(status, 1, "of `read` without a line");
    let next = Step::new(STEP).arg("--upper", place.path("link"));
    assert!(next.args(["true"]).output().status.success());
    assert_eq!(fs::read_dir(place.0.path()).expect("it").count(), 2);
}

fn the_root_belongs_to_root_and_is_not_for_all_to_write() {
    let place = Place::new();
    let upper = place.path("upper");
    let script = "stat -c '%a %u %g' /";
    assert_eq!(Step::new(STEP).sh(script).stdout(), "755 0 0");
    let kept = Step::new(STEP).arg("--upper", &upper).sh(script);
    let closed = kept.in_shell(r#"umask 077; exec "$@""#);
    assert_eq!(closed.stdout(), "755 0 0");
}

fn names_may_hold_what_separates_names() {
    let (place, word) = (Place::new(), token());
    for name in [
        &b"a:b"[..],
        b"a,b",
        b"a\\b",
        b"a b\n",
        b"\\",
        b"a=b,upperdir=etc",
        b"::,,\\\\",
        b"\xff\xfe",
        "ünï".as_bytes(),
        b"'\"$x`",
    ] {
        let name =
            |end: &str| OsString::from_vec([name, end.as_bytes()].concat());
        let layer = place.path(name("1"));
        fs::create_dir(&layer).expect("mkdir");
        fs::write(layer.join("file"), &word).expect("write");
        let upper = place.path(name("2"));
        let step = Step::new(STEP).arg("--layer", &layer);
        let step = step.arg("--upper", &upper).sh("cat /file; echo x > /new");
        assert_eq!(step.stdout(), word, "{layer:?}");
        assert!(upper.join("new").is_file(), "{upper:?}");
    }
}

// ── tar files ───────────────────────────────────────────────────────────────

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Tar {
        Tar(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header
    }

    /// The name as it stands: `..` and absolute ones, too.
    fn name(header: &mut Header, name: &str) {
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
    }

    fn owned(mut self, name: &str, text: &str, mode: u32, id: u64) -> Tar {
        let mut header = Tar::header(EntryType::Regular, mode);
        header.set_size(text.len() as u64);
        header.set_uid(id);
        header.set_gid(id);
        Tar::name(&mut header, name);
        self.0.append(&header, text.as_bytes()).expect("append");
        self
    }

    fn file(self, name: &str, text: &str, mode: u32) -> Tar {
        self.owned(name, text, mode, 0)
    }

    fn other(mut self, kind: EntryType, name: &str, mode: u32) -> Tar {
        let mut header = Tar::header(kind, mode);
        header.set_device_major(1).expect("a number");
        header.set_device_minor(3).expect("a number");
        Tar::name(&mut header, name);
        self.0.append(&header, &b""[..]).expect("append");
        self
    }

    fn directory(self, name: &str, mode: u32) -> Tar {
        self.other(EntryType::Directory, name, mode)
    }

    fn link(mut self, kind: EntryType, name: &str, target: &str) -> Tar {
        let mut header = Tar::header(kind, 0o777);
        header.set_link_name_literal(target).expect("a link");
        Tar::name(&mut header, name);
        self.0.append(&header, &b""[..]).expect("append");
        self
    }

    /// What pax says of the next entry.
    fn pax(mut self, keywords: &[(&str, &str)]) -> Tar {
        let keywords = keywords.iter().map(|(k, v)| (*k, v.as_bytes()));
        self.0.append_pax_extensions(keywords).expect("append");
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("a tar file")
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compress");
    encoder.finish().expect("compress")
}

fn a_tar_file_is_a_layer_plain_or_compressed() {
    let (place, word) = (Place::new(), token());
    let plain = Tar::new().file("./etc/word", &word, 0o644).bytes();
    let (head, tail) = plain.split_at(plain.len() / 3);
    // pigz and others write several members, one after the other.
    let members = [gzip(head), gzip(tail)].concat();
    for (name, bytes) in
        [("plain", &plain), ("gz", &gzip(&plain)), ("members", &members)]
    {
        let file = place.path(name);
        fs::write(&file, bytes).expect("write");
        let step = place.step().arg("--layer", &file);
        assert_eq!(step.args(["cat", "/etc/word"]).stdout(), word, "{name}");
    }
    assert_eq!(place.unpacked().len(), 3);
}

/// In frames of its own, as programs with more than one thread write it, and
/// with a note for others between them.
fn what_zstd_packed_is_a_layer_too() {
    let zstd = |bytes: &[u8]| {
        let mut zstd = std::process::Command::new(needs::command("zstd"));
        let piped = std::process::Stdio::piped;
        let zstd = zstd.args(["-q", "-c"]).stdin(piped()).stdout(piped());
        let mut zstd = zstd.spawn().expect("zstd");
        let mut stdin = zstd.stdin.take().expect("its input");
        stdin.write_all(bytes).expect("write");
        drop(stdin);
        zstd.wait_with_output().expect("zstd").stdout
    };
    let (place, word) = (Place::new(), token());
    let large = word.repeat(50_000);
    let plain = Tar::new().file("large", &large, 0o644);
    let plain = plain.file("etc/word", &word, 0o644).bytes();
    let (head, tail) = plain.split_at(plain.len() / 3);
    let note = b"\x50\x2a\x4d\x18\x04\0\0\0note";
    let frames = [&zstd(head)[..], note, &zstd(tail), note].concat();
    let file = place.path("zst");
    fs::write(&file, &frames).expect("write");
    let step = place.step().arg("--layer", &file);
    let script = "cat /etc/word; wc -c </large";
    assert_eq!(step.sh(script).stdout(), format!("{word}{}", large.len()));
    fs::write(&file, &frames[..frames.len() / 2]).expect("write");
    refused(&place, &file, &["unpack "]);
}

fn what_a_tar_file_says_of_modes_links_and_owners_holds() {
    let (place, word) = (Place::new(), token());
    let tar = Tar::new()
        .directory("d", 0o2750)
        .file("d/setuid", &word, 0o6755)
        .link(EntryType::Link, "d/hard", "d/setuid")
        .link(EntryType::Symlink, "d/soft", "/etc/passwd")
        .owned("owned", &word, 0o640, 7)
        .owned("far", &word, 0o600, 3_000_000_000)
        .owned("next", &word, 0o600, 65_536)
        .file("no/entry/for/us", &word, 0o644)
        .file("/absolute", &word, 0o644);
    let file = place.path("tar");
    fs::write(&file, tar.bytes()).expect("write");
    let step = place.step().arg("--layer", &file);
    let ids = if needs::is_root() && root_inside().0 != 0 { 7 } else { 0 };
    let script = "cd /; stat -c '%a %u %g %h %n' d d/setuid d/hard owned far next \
        no no/entry no/entry/for/us absolute; readlink d/soft; cat d/hard; \
        rm no/entry/for/us && touch no/entry/x && echo ours";
    let expected = format!(
        "2750 0 0 2 d\n6755 0 0 2 d/setuid\n6755 0 0 2 d/hard\n\
         640 {ids} {ids} 1 owned\n600 0 0 1 far\n600 0 0 1 next\n755 0 0 3 no\n\
         755 0 0 3 no/entry\n644 0 0 1 no/entry/for/us\n644 0 0 1 absolute\n\
         /etc/passwd\n{word}ours"
    );
    assert_eq!(step.sh(script).stdout(), expected);
}

fn a_tar_file_with_closed_directories_can_be_taken_away_again() {
    let (place, word) = (Place::new(), token());
    let file = place.path("tar");
    for word in [&token(), &word] {
        let tar = Tar::new()
            .directory("closed", 0o555)
            .directory("closed/more", 0)
            .file("closed/more/f", word, 0o444);
        fs::write(&file, tar.bytes()).expect("write");
        later(&file);
        let step = place.step().arg("--layer", &file);
        assert_eq!(step.args(["cat", "/closed/more/f"]).stdout(), *word);
    }
    assert_eq!(place.unpacked().len(), 1, "the first is gone");
}

/// Its time of change differs, however coarse the filesystem's clock is.
fn later(file: &Path) {
    let random = u64::from_str_radix(&token()[1..8], 16).expect("a number");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(random);
    let file = fs::File::options().write(true).open(file).expect("open");
    file.set_modified(time).expect("a time");
}

fn nothing_in_a_tar_file_leads_out() {
    let (place, word) = (Place::new(), token());
    let outside = place.layer("outside", &[("secret", &word), ("d/x", &word)]);
    let out = |name: &str| outside.join(name).display().to_string();
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(outside.join("secret"), mode).expect("chmod");
    let before = summary(&outside);
    let link =
        |target: &str| Tar::new().link(EntryType::Symlink, "link", target);
    let hard = |target: &str| Tar::new().link(EntryType::Link, "h", target);
    let up = |name: &str| format!("../../../../../../../..{}", out(name));
    let attacks = [
        ("dots", Tar::new().file("../evil", "x", 0o644), false),
        ("dots within", Tar::new().file("a/../../evil", "x", 0o644), false),
        ("absolute", Tar::new().file(&out("secret"), "x", 0o4777), true),
        ("absolute new", Tar::new().file(&out("new"), "x", 0o644), true),
        ("through", link(&out("")).file("link/new", "x", 0o644), false),
        ("through up", link(&up("")).file("link/new", "x", 0o644), false),
        ("over", link(&out("secret")).file("link", "x", 0o4777), true),
        ("mode", link(&out("d")).directory("link", 0o7777), false),
        ("mode below", link(&out("")).directory("link/d", 0o7777), false),
        ("owner", link(&out("secret")).owned("x", "x", 0o777, 9), true),
        ("hard", hard(&out("secret")), false),
        ("hard up", hard(&up("secret")), false),
        (
            "hard through",
            link(&out("")).link(EntryType::Link, "h", "link/secret"),
            false,
        ),
        (
            "hard to a link",
            link(&out("secret"))
                .link(EntryType::Link, "h", "link")
                .file("h", "x", 0o4777),
            true,
        ),
    ];
    for (name, tar, works) in attacks {
        let file = place.path("tar");
        fs::write(&file, tar.bytes()).expect("write");
        later(&file);
        let step = place.step().arg("--layer", &file).args(["true"]);
        let output = step.output();
        let told = error(&output);
        assert_eq!(summary(&outside), before, "{name}: {told}");
        assert!(!place.path("evil").exists(), "{name}");
        assert!(!place.path("cache/evil").exists(), "{name}");
        if !works {
            assert_eq!(output.status.code(), Some(125), "{name}: {told}");
            assert_eq!(told.lines().count(), 1, "{name}: {told}");
        }
        for directory in place.unpacked() {
            let is_new = directory.display().to_string().contains("/new-");
            assert!(!is_new, "{name}: {directory:?}");
        }
    }
}

fn devices_are_left_out_with_a_note() {
    let (place, word) = (Place::new(), token());
    let tar = Tar::new()
        .other(EntryType::Char, "null", 0o666)
        .other(EntryType::Block, "disk", 0o666)
        .other(EntryType::Fifo, "fifo", 0o666)
        .file("file", &word, 0o644);
    let file = place.path("tar");
    fs::write(&file, tar.bytes()).expect("write");
    let mut step = Step::telling_all(STEP).arg("--layer", &file);
    step.command().env("XDG_CACHE_HOME", place.path("cache"));
    let output = step.sh("cat /file; ls /null /disk /fifo").output();
    assert_eq!(output.stdout, word.as_bytes());
    for name in ["null", "disk", "fifo"] {
        let note = format!("left out of the layer: {name}");
        assert!(error(&output).contains(&note), "{output:?}");
    }
}

fn what_a_tar_file_deletes_stays_deleted() {
    let (place, word) = (Place::new(), token());
    needs_user_attributes(&place);
    let below = place.layer(
        "below",
        &[
            ("gone", "x"),
            ("stays", "x"),
            ("d/gone", "x"),
            ("d/deep/gone", "x"),
            ("opaque/gone", "x"),
            ("anew/gone", "x"),
            ("early/gone", "x"),
            ("file", "x"),
            ("tree/gone", "x"),
            ("dir/gone", "x"),
        ],
    );
    let tar = Tar::new()
        .file("early/new", &word, 0o644)
        .file(".wh.early", "", 0)
        .file(".wh.gone", "", 0o444)
        .file("d/.wh.gone", "its content says nothing", 0)
        .directory("d", 0o500)
        .file("d/deep/.wh.gone", "", 0)
        .file("opaque/new", &word, 0o644)
        .file("opaque/.wh..wh..opq", "", 0o644)
        .file(".wh.anew", "", 0)
        .directory("anew", 0o555)
        .file("anew/new", &word, 0o644)
        .file(".wh.file", "", 0)
        .file("file", &word, 0o644)
        .file(".wh.tree", "", 0)
        .file(".wh.dir", "", 0)
        .file("dir", &word, 0o644)
        .file(".wh.never", "", 0);
    let file = place.path("tar");
    fs::write(&file, tar.bytes()).expect("write");
    let script = "cd /; ls -d gone stays tree never 2>/dev/null; \
        for d in d d/deep opaque anew early; do echo \"$d:\" $(ls $d); done; \
        cat file dir; ls -a / | grep -c wh; \
        echo x > gone && cat gone";
    let expected = format!(
        "stays\nd: deep\nd/deep:\nopaque: new\nanew: new\nearly: new\n\
         {word}{word}0\nx"
    );
    let step = place.step().arg("--layer", &below).arg("--layer", &file);
    assert_eq!(step.sh(script).stdout(), expected);
    // A layer above may have it again.
    let above = place.layer("above", &[("gone", &word)]);
    let step = place.step().arg("--layer", &below).arg("--layer", &file);
    let step = step.arg("--layer", &above);
    assert_eq!(step.args(["cat", "/gone"]).stdout(), word);
}

fn an_upper_directory_in_a_tar_file_deletes_the_same() {
    let place = Place::new();
    needs_user_attributes(&place);
    let (upper, file) = (place.path("upper"), place.path("tar"));
    let script = "rm -r /mnt /etc; mkdir /etc; echo x > /etc/new";
    let step = place.step().arg("--upper", &upper).sh(script);
    assert_eq!(step.stdout(), "");
    let packed = file.display().to_string();
    let attributes = ["--xattrs", "--xattrs-include=user.overlay.opaque"];
    let options = ["--format=posix", "-cf", &packed, "."];
    gnu_tar(&upper, &[&attributes[..], &options].concat());
    let step = place.step().arg("--layer", &file);
    let listed = step.sh("ls -d /mnt 2>/dev/null; ls /etc").stdout();
    assert_eq!(listed, "new");
}

/// A whiteout of nothing, of a directory itself, and those of other programs.
fn a_whiteout_that_means_nothing_is_refused() {
    let place = Place::new();
    needs_user_attributes(&place);
    for (name, way_out) in [
        (".wh..wh..opq", "hide the whole root directory"),
        (".wh.", "leave it out"),
        (".wh..", "leave it out"),
        ("a/.wh..", "leave it out"),
        (".wh...", "leave it out"),
        ("a/.wh...", "leave it out"),
        (".wh..wh.plnk", "leave it out"),
        (".wh.directory/", "EISDIR"),
    ] {
        let tar = match name.strip_suffix('/') {
            Some(name) => Tar::new().directory(name, 0o755),
            None => Tar::new().file(name, "", 0o644),
        };
        let file = place.path("tar");
        fs::write(&file, tar.bytes()).expect("write");
        later(&file);
        let output = place.step().arg("--layer", &file).args(["true"]);
        let output = output.output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{name}: {told}");
        assert!(told.contains(name.trim_end_matches('/')), "{name}: {told}");
        assert!(told.contains(way_out), "{name}: {told}");
        assert_eq!(place.unpacked(), [] as [PathBuf; 0], "{name}");
    }
    let mut value = [0; 8];
    let cache = place.path("cache/container-workshop");
    let attribute = "user.overlay.opaque";
    assert!(rustix::fs::getxattr(&cache, attribute, &mut value).is_err());
}

fn whiteouts_in_a_directory_are_refused() {
    let place = Place::new();
    for name in [".wh.gone", "d/.wh..wh..opq", "d/e/.wh.x"] {
        let layer = place.layer(&token(), &[(name, ""), ("f", "x")]);
        let before = summary(&layer);
        let step = place.step().arg("--layer", &layer).args(["true"]);
        let output = step.output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{name}: {told}");
        assert!(told.contains(name), "{name}: {told}");
        let way_out = format!("tar -C {} -cf", layer.display());
        assert!(told.contains(&way_out), "{name}: {told}");
        assert_eq!(summary(&layer), before, "{name}");
    }
}

/// Runs GNU tar in a directory.
fn gnu_tar(directory: &Path, arguments: &[&str]) {
    let mut tar = std::process::Command::new(needs::command("tar"));
    let output = tar.current_dir(directory).args(arguments).output();
    let output = output.expect("tar");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
}

/// A layer that is refused, and by what words.
fn refused(place: &Place, file: &Path, words: &[&str]) {
    later(file);
    let output = place.step().arg("--layer", file).args(["true"]).output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{words:?}: {told}");
    assert_eq!(told.lines().count(), 1, "{words:?}: {told}");
    for word in words {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    assert_eq!(place.unpacked(), [] as [PathBuf; 0], "{words:?}");
}

fn a_sparse_file_is_whole_or_refused() {
    let (place, word) = (Place::new(), token());
    let source = place.layer("source", &[("beside", &word)]);
    let sparse = fs::File::create(source.join("sparse")).expect("create");
    // So many parts that old GNU headers go on in another block.
    for part in 0..40_u64 {
        let text = format!("{word} {part}");
        let at = part * (256 << 10) + 100_000;
        std::os::unix::fs::FileExt::write_all_at(&sparse, text.as_bytes(), at)
            .expect("write");
    }
    sparse.set_len(20 << 20).expect("a hole at the end");
    let file = place.path("tar");
    let packed = file.display().to_string();
    gnu_tar(&source, &["--format=gnu", "-Scf", &packed, "."]);
    let size = fs::metadata(&file).expect("it").len();
    assert!(size < 1 << 20, "{size}: it is not sparse in there");
    let step = place.step().arg("--layer", &file);
    assert_eq!(step.args(["cat", "/beside"]).stdout(), word);
    let read = |at: &Path| fs::read(at.join("sparse")).expect("it is there");
    assert!(read(&place.unpacked()[0]) == read(&source), "another content");
    fs::remove_dir_all(place.path("cache")).expect("remove it");
    for version in ["0.0", "0.1", "1.0"] {
        let version = format!("--sparse-version={version}");
        let options = ["--format=posix", &version, "-Scf", &packed, "."];
        gnu_tar(&source, &options);
        refused(&place, &file, &["sparse", "--format=gnu"]);
    }
}

fn what_gnu_tar_adds_is_right_or_refused() {
    let (place, word) = (Place::new(), token());
    let long = format!("{0}/{0}", "n".repeat(150));
    let source = place.layer("source", &[("word", &word), (&long, &word)]);
    let file = place.path("tar");
    let packed = file.display().to_string();
    for format in ["gnu", "posix", "oldgnu"] {
        let format = format!("--format={format}");
        gnu_tar(&source, &[&format, "-V", "label", "-cf", &packed, "."]);
        later(&file);
        let step = place.step().arg("--layer", &file);
        let script = format!("cat /word /{long}; ls -d /label 2>/dev/null");
        let output = step.sh(&script).output();
        let told = error(&output);
        assert_eq!(output.stdout, word.repeat(2).as_bytes(), "{told}");
    }
    fs::remove_dir_all(place.path("cache")).expect("remove it");
    for (format, words) in
        [("gnu", "an incremental backup"), ("posix", "GNU.dumpdir")]
    {
        let format = format!("--format={format}");
        let list =
            format!("--listed-incremental={}", place.path("l").display());
        gnu_tar(&source, &[&format, &list, "-cf", &packed, "."]);
        refused(
            &place,
            &file,
            &[words, "unpack the file with its own program"],
        );
        fs::remove_file(place.path("l")).expect("remove it");
    }
    fs::write(source.join("big"), vec![b'x'; 60 << 10]).expect("write");
    let second = place.path("second");
    let next = second.display().to_string();
    let volumes = ["--format=gnu", "-M", "-L", "40", "-cf", &packed];
    gnu_tar(&source, &[&volumes[..], &["-f", &next, "big"]].concat());
    refused(&place, &file, &["big"]);
    refused(&place, &second, &["big", "begins in another volume"]);
    // Letters of other programs, and those that nobody has.
    for letter in *b"ANXEZ%" {
        let kind = EntryType::new(letter);
        let tar = Tar::new().other(kind, "entry", 0o644);
        fs::write(&file, tar.bytes()).expect("write");
        let letter = format!("type '{}'", char::from(letter));
        refused(&place, &file, &["entry", &letter]);
    }
}

fn what_pax_adds_is_right_or_refused() {
    let (place, word) = (Place::new(), token());
    let file = place.path("tar");
    let global = |text: &str| {
        let mut header = Tar::header(EntryType::XGlobalHeader, 0o644);
        header.set_size(text.len() as u64);
        Tar::name(&mut header, "pax_global_header");
        let mut tar = Tar::new();
        tar.0.append(&header, text.as_bytes()).expect("append");
        tar
    };
    let long = format!("{0}/{0}", "p".repeat(150));
    let with = |key: &str, value: &str| Tar::new().pax(&[(key, value)]);
    // Right: as `git archive` and docker write them.
    for (tar, name) in [
        (global("16 comment=tree\n"), "word"),
        (with("path", &long), &long),
        (with("hdrcharset", "BINARY"), "word"),
        (with("mtime", "1350244992.023960108"), "word"),
        (with("SCHILY.xattr.security.capability", "\x01"), "word"),
    ] {
        fs::write(&file, tar.file("word", &word, 0o644).bytes()).expect("tar");
        later(&file);
        let mut step = Step::telling_all(STEP).arg("--layer", &file);
        step.command().env("XDG_CACHE_HOME", place.path("cache"));
        let output = step.args(["cat", &format!("/{name}")]).output();
        let told = error(&output);
        assert_eq!(output.stdout, word.as_bytes(), "{name}: {told}");
    }
    let mut step = Step::telling_all(STEP).arg("--layer", &file);
    step.command().env("XDG_CACHE_HOME", place.path("cache"));
    later(&file);
    let told = error(&step.args(["true"]).output());
    let note =
        "left out of the layer: SCHILY.xattr.security.capability of word";
    assert!(told.contains(note), "{told}");
    fs::remove_dir_all(place.path("cache")).expect("remove it");
    for (key, value) in [
        ("hdrcharset", "ISO-IR 8859 1 1998"),
        ("SCHILY.realsize", "100"),
        ("SCHILY.filetype", "sparse"),
        ("VENDOR.thing", "x"),
    ] {
        let tar = with(key, value).file("word", &word, 0o644);
        fs::write(&file, tar.bytes()).expect("write");
        refused(&place, &file, &["word", key, "can't be read here"]);
    }
    // The library would read a second keyword in it.
    let tar = with("SCHILY.xattr.user.x", "a\n14 path=other")
        .file("word", &word, 0o644);
    fs::write(&file, tar.bytes()).expect("write");
    refused(&place, &file, &["line feed", "--xattrs-include"]);
    for text in ["14 path=other\n", "10 uid=77\n"] {
        let tar = global(text).file("word", &word, 0o644);
        fs::write(&file, tar.bytes()).expect("write");
        refused(&place, &file, &[&text[3..6], "for all", "can't be read here"]);
    }
}

fn two_tar_files_in_one_are_refused() {
    let place = Place::new();
    let tar = |name: &str| Tar::new().file(name, "x", 0o644).bytes();
    let file = place.path("tar");
    let both = [tar("first"), tar("second")].concat();
    for bytes in [&both, &gzip(&both)] {
        fs::write(&file, bytes).expect("write");
        refused(&place, &file, &["something follows", "tar -Af"]);
    }
    // What fills the last block is nothing.
    let filled = [tar("first"), vec![0; 20_000]].concat();
    fs::write(&file, filled).expect("write");
    let step = place.step().arg("--layer", &file).args(["cat", "/first"]);
    assert_eq!(step.stdout(), "x");
}

fn a_tar_file_is_unpacked_once_and_again_when_it_changes() {
    let place = Place::new();
    let file = place.path("tar");

    let mut seen = vec![];
    for round in 0..2 {
        let word = token();
        let tar = Tar::new().file("word", &word, 0o644);
        fs::write(&file, gzip(&tar.bytes())).expect("write");
        later(&file);
        for run in 0..2 {
            let mut step = Step::telling_all(STEP).arg("--layer", &file);
            step.command().env("XDG_CACHE_HOME", place.path("cache"));
            let output = step.args(["cat", "/word"]).output();
            assert_eq!(output.stdout, word.as_bytes(), "{output:?}");
            let told = error(&output).contains("unpack");
            assert_eq!(told, run == 0, "round {round}, run {run}");
        }
        let unpacked = place.unpacked();
        assert_eq!(unpacked.len(), 1, "what is outdated is gone");
        assert!(!seen.contains(&unpacked[0]));
        seen.extend(unpacked);
    }
}

fn what_was_unpacked_stays_while_somebody_uses_it() {
    let (place, word) = (Place::new(), token());
    let file = place.path("tar");
    let layered = |word: &str| {
        let tar = Tar::new().file("word", word, 0o644);
        fs::write(&file, tar.bytes()).expect("write");
        later(&file);
        place.step().arg("--layer", &file)
    };
    let mut first =
        layered(&word).sh("echo ready; read line; cat /word").start();
    assert_eq!(first.line(), "ready");
    assert!(layered("x").args(["true"]).output().status.success());
    first.say("");
    assert_eq!(first.finish(), (0, word));
}

/// strace makes each file take so long that nobody would wait for all.
fn who_interrupts_while_a_tar_file_is_unpacked_is_heard() {
    let place = Place::new();
    default_root(&place);
    let mut tar = Tar::new();
    for number in 0..patience().as_secs() * 10 {
        tar = tar.file(&number.to_string(), "", 0o644);
    }
    let file = place.path("tar");
    fs::write(&file, tar.bytes()).expect("write");
    let slow = format!(
        "exec {} -qq -o /dev/null -e inject=chmod,fchmodat:delay_enter=200000 \
         \"$@\"",
        needs::tracer().display()
    );
    let step = place.step().arg("--layer", &file).args(["true"]);
    let mut strace = step.in_shell(&slow).start();
    eventually("it unpacks", || (!place.unpacked().is_empty()).then_some(()));
    let runtime = proc::children(strace.runtime())[0];
    kill(Pid::from_raw(runtime), Signal::SIGINT).expect("kill");
    assert_eq!(strace.ended(), 130);
    assert_eq!(place.unpacked(), [] as [PathBuf; 0]);
}

/// Who that is, /etc/subuid says: another one for the second run.
fn a_tar_file_is_unpacked_for_each_who_is_root_inside() {
    needs::root();
    let (place, (uid, gid)) = (Place::new(), root_inside());
    if uid == 0 {
        skip("needs more than one id inside");
    }
    let file = place.path("tar");
    let tar = Tar::new().file("f", "", 0o644);
    fs::write(&file, tar.bytes()).expect("write");
    for (name, first) in [("subuid", uid), ("subgid", gid)] {
        let table = format!("root:{}:1000\n", first + 1000);
        fs::write(place.path(name), table).expect("write");
    }
    let other = format!(
        r#"cd {}; exec unshare --mount bash -c 'mount --bind subuid /etc/subuid \
           && mount --bind subgid /etc/subgid && exec "$@"' bash "$@""#,
        place.0.path().display()
    );
    for script in [r#"exec "$@""#, &other] {
        let step = place.step().arg("--layer", &file);
        let step = step.args(["stat", "-c", "%u %g", "/f"]);
        assert_eq!(step.in_shell(script).stdout(), "0 0", "{script}");
    }
}

/// Who else may be root with it, the file says.
fn a_capability_of_a_file_is_for_root_inside() {
    needs::root();
    let (place, (uid, _)) = (Place::new(), root_inside());
    if uid == 0 {
        skip("needs more than one id inside");
    }
    // VFS_CAP_REVISION_2, with CAP_NET_RAW.
    let value = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::new().pax(&[("SCHILY.xattr.security.capability", value)]);
    let file = place.path("tar");
    fs::write(&file, tar.file("f", "x", 0o755).bytes()).expect("write");
    let step = place.step().arg("--layer", &file).args(["cat", "/f"]);
    assert_eq!(step.stdout(), "x");
    let mut found = [0; 64];
    let ours = place.unpacked()[0].join("f");
    let length = rustix::fs::getxattr(&ours, "security.capability", &mut found);
    assert_eq!(length, Ok(24), "of revision 3");
    assert_eq!(found[4..20], value.as_bytes()[4..]);
    assert_eq!(found[20..24], uid.to_le_bytes());
}

fn eight_containers_at_once_share_one_tar_file() {
    needs::real_processor();
    let (place, word) = (Place::new(), token());
    let mut tar = Tar::new();
    for number in 0..2000 {
        tar = tar.file(&format!("many/{number}"), &word, 0o644);
    }
    let file = place.path("tar");
    fs::write(&file, tar.file("last", &word, 0o644).bytes()).expect("write");
    let start = |_| {
        let step = place.step().arg("--layer", &file);
        step.sh("cat /last; echo; ls /many | wc -l; cat /many/1999").start()
    };
    let running: Vec<_> = (0..8).map(start).collect();
    for mut container in running {
        assert_eq!(container.line(), word);
        assert_eq!(container.line().trim(), "2000");
        assert_eq!(container.finish(), (0, word.clone()));
    }
    assert_eq!(place.unpacked().len(), 1);
}

fn what_is_no_tar_file_is_told_and_leaves_nothing() {
    let place = Place::new();
    let good = Tar::new().file("f", &"x".repeat(9000), 0o644).bytes();
    let noise: Vec<u8> = (0..2000).flat_map(|_| token().into_bytes()).collect();
    let words = "these:are:words:".repeat(100);
    let compressed = gzip(&noise);
    let table: &[(&str, &[u8], &str)] = &[
        ("empty", b"", "it is empty"),
        ("zeros", &[0; 10240], "it is empty"),
        ("text", b"hello", "tar file"),
        ("words", words.as_bytes(), "tar file"),
        ("noise", &noise, "tar file"),
        ("noise.gz", &compressed, "tar file"),
        ("cut", &good[..5000], "f"),
        ("cut.gz", &gzip(&good)[..60], ""),
        ("gz", &[0x1f, 0x8b, 8, 0], ""),
        ("xz", b"\xfd7zXZ\0abc", "unxz"),
        ("zstd", b"\x28\xb5\x2f\xfdabc", "tar file"),
        ("bzip2", b"BZh91AY&SY", "with bzip2: run `bunzip2"),
        ("lz4", b"\x04\x22\x4d\x18abc", "unlz4"),
        ("lzip", b"LZIP\x01abc", "lzip --decompress"),
        ("lzop", b"\x89LZO\0\r\n\x1a\n", "lzop --decompress"),
        ("lzma", b"\x5d\0\0\x80\0\xff", "unlzma"),
        ("compress", b"\x1f\x9d\x90abc", "uncompress"),
        ("zip", b"PK\x03\x04abc", "unzip"),
    ];
    for (name, bytes, way_out) in table {
        let file = place.path(name);
        fs::write(&file, bytes).expect("write");
        let watch = Watch::begin();
        let step = watch.over(place.step()).arg("--layer", &file);
        let output = step.args(["true"]).output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{name}: {told}");
        assert_eq!(told.lines().count(), 1, "{name}: {told}");
        assert!(told.contains(way_out), "{name}: {told}");
        assert!(!told.contains(&words[..16]), "{name}: {told}");
        assert!(told.contains(&file.display().to_string()), "{told}");
        assert_eq!(place.unpacked(), [] as [PathBuf; 0], "{name}");
        watch.assert_nothing_left(name);
    }
}

// ── what can't be ───────────────────────────────────────────────────────────

fn bad_input_is_told_in_one_line() {
    let place = Place::new();
    let root = place.path("root");
    copy_root(&root);
    let layer = place.layer("layer", &[("below/file", "x")]);
    let below = layer.join("below");
    let file = place.path("file");
    fs::write(&file, "x").expect("write");
    let fifo = place.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    symlink("nowhere", place.path("dangling")).expect("symlink");
    symlink("layer", place.path("link")).expect("symlink");
    symlink("loop", place.path("loop")).expect("symlink");
    let at = |name: &str| place.path(name);
    let (link, missing) = (at("link"), at("missing"));
    let table: &[(&[(&str, &Path)], &str)] = &[
        (&[("--layer", &missing)], "ENOENT"),
        (&[("--layer", &at("dangling"))], "ENOENT"),
        (&[("--layer", &at("loop"))], "ELOOP"),
        (&[("--layer", &file.join("x"))], "ENOTDIR"),
        (&[("--layer", &fifo)], "neither a directory nor a tar file"),
        (&[("--layer", Path::new("/dev/null"))], "neither a directory"),
        (&[("--layer", Path::new(""))], ""),
        (&[("--layer", &layer), ("--layer", &layer)], "twice"),
        (&[("--layer", &layer), ("--layer", &link)], "twice"),
        (&[("--layer", &layer), ("--layer", &below)], "one lies in the other"),
        (&[("--layer", &below), ("--layer", &layer)], "one lies in the other"),
        (&[("--layer", &layer), ("--upper", &layer)], "twice"),
        (&[("--layer", &layer), ("--upper", &link)], "twice"),
        (&[("--layer", &layer), ("--upper", &layer.join("u"))], "one lies in"),
        (&[("--layer", &layer), ("--upper", &link.join("u"))], "one lies in"),
        (&[("--layer", &below), ("--upper", &layer)], "one lies in the other"),
        (&[("--rootfs", &root), ("--layer", &root)], "twice"),
        (&[("--rootfs", &root), ("--layer", &root.join("etc"))], "one lies in"),
        (&[("--rootfs", &root), ("--upper", &root)], "twice"),
        (&[("--rootfs", &root), ("--upper", &root.join("u"))], "one lies in"),
        (&[("--rootfs", &root), ("--upper", place.0.path())], "one lies in"),
        (&[("--rootfs", Path::new("/"))], "--rootfs /"),
        (&[("--layer", Path::new("/"))], "one lies in the other"),
        (&[("--upper", Path::new("/"))], ""),
        (&[("--upper", Path::new(""))], ""),
        (&[("--upper", &file)], "not a directory"),
        (&[("--upper", &file.join("u"))], "ENOTDIR"),
        (&[("--upper", &missing.join("u"))], "ENOENT"),
        (&[("--upper", &at("dangling"))], "EEXIST"),
        (&[("--upper", &at("loop"))], "ELOOP"),
    ];
    let before = summary(place.0.path());
    for (options, way_out) in table {
        let watch = Watch::begin();
        let mut step = watch.over(Step::new(STEP));
        for (option, value) in *options {
            step = step.arg(option, value);
        }
        let output = step.args(["true"]).output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{options:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{options:?}: {told}");
        assert!(told.contains(way_out), "{options:?}: {told}");
        assert_eq!(summary(place.0.path()), before, "{options:?}");
        watch.assert_nothing_left(&told);
    }
}

/// The default root directory as this step makes it, for whoever runs it.
fn copy_root(to: &Path) {
    let container = Step::new(STEP).start_waiting();
    let from = format!("/proc/{}/root", container.pid());
    fs::create_dir(to).expect("mkdir");
    for name in ["etc", "mnt"] {
        let from = Path::new(&from).join(name);
        if from.is_dir() {
            fs::create_dir(to.join(name)).expect("mkdir");
        }
    }
}

fn more_layers_than_the_kernel_looks_at_are_refused() {
    let place = Place::new();
    let assert_refused = |count, width, parts: [&str; 2]| {
        let mut step = Step::new(STEP);
        for number in 0..count {
            let layer = place.path(format!("{number:0>width$}"));
            fs::create_dir(&layer).expect("mkdir");
            step = step.arg("--layer", layer);
        }
        let output = step.args(["true"]).output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{told}");
        for part in parts {
            assert!(told.contains(part), "{told}");
        }
    };
    let long = "31 layers are longer than the 4096";
    assert_refused(30, 200, [long, "put some of them into one"]);
    let many = "501 layers with the root";
    assert_refused(500, 1, [many, "takes 500: put some of them"]);
}

fn an_upper_directory_of_somebody_else_is_refused() {
    let place = Place::new();
    needs::root();
    if root_inside().0 == 0 {
        skip("needs more than one id inside");
    }
    let foreign = place.layer("foreign", &[]);
    let step = Step::new(STEP).arg("--upper", &foreign).args(["true"]);
    let output = step.output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("chown"), "{told}");
}

/// As everything in the playground does, but for /run and /tmp.
fn the_root_may_lie_on_an_overlay_and_the_upper_directory_not() {
    needs::playground();
    let directory = tempfile::tempdir_in("/etc").expect("a directory");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&directory, mode).expect("chmod");
    let (place, word) = (Place(directory), token());
    let root = place.path("root");
    copy_default_root(&root);
    let script = format!("echo {word} > /x; cat /x");
    let step = || Step::new(STEP).arg("--rootfs", &root);
    assert_eq!(step().sh(&script).stdout(), word);
    assert!(!root.join("x").exists());
    let upper = step().arg("--upper", place.path("upper"));
    let output = upper.args(["true"]).output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("EINVAL"), "{told}");
    assert!(told.contains("can't be on another overlay"), "{told}");
}

/// In a user namespace, an overlay would uncover what such a mount hides.
fn a_mount_below_the_root_is_told() {
    needs::root();
    let place = Place::new();
    let root = place.path("root");
    copy_default_root(&root);
    let mount = format!(
        r#"exec unshare --mount sh -c \
            'mount -t tmpfs none "$0" && exec "$@"' {}/tmp "$@""#,
        root.display()
    );
    let step = Step::new(STEP).arg("--rootfs", &root).args(["true"]);
    let output = step.in_shell(&mount).output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(
        told.contains("mounted below a layer, either: `findmnt`"),
        "{told}"
    );
}

fn volumes_limits_and_an_init_work_on_an_overlay() {
    let (place, word) = (Place::new(), token());
    let volume = place.layer("volume", &[("f", &word)]);
    let option = format!("{}:/deep/place:ro", volume.display());
    let step = Step::new(STEP).args(["-v", &option, "--init", "-w", "/etc"]);
    let script = "cat /deep/place/f; echo; pwd; touch /deep/place/x; \
        touch /new && echo written";
    let output = step.sh(script).output();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{word}\n/etc\nwritten\n"), "{output:?}");
    let read_only = Step::new(STEP).args(["--read-only"]);
    assert_ne!(read_only.sh("touch /new").output().status.code(), Some(0));
}

fn struck(strike: impl Fn(&mut testbed::Terminal), expected: i32) {
    let place = Place::new();
    let layer = place.layer("layer", &[("f", "x")]);
    let watch = Watch::begin();
    let step = || {
        let step = watch.over(Step::telling_all(STEP)).arg("--layer", &layer);
        step.args(["--pause", "true"])
    };
    let points =
        strike_before_any_call(step, strike, |runtime, status, told| {
            assert_eq!(status, expected, "{told}");
            watch.assert_nothing_left(&told);
            if expected != 137 {
                assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0], "{told}");
            }
        });
    assert!(points > 30, "{points} points only");
}

fn nothing_is_left_after_sigint_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGINT), 130);
}

fn nothing_is_left_after_sigterm_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGTERM), 143);
}

fn nothing_is_left_after_sigkill_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGKILL), 137);
}
