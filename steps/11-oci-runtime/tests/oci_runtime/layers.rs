//! Claims about the layers of images: kept once, and shared.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tar::EntryType;
use testbed::{binary, needs, token};

use crate::images::{Image, Tar, text};

/// A layer with a shell.
fn shell() -> Tar {
    let busybox = fs::read(needs::command("busybox")).expect("busybox");
    let mut header = tar::Header::new_ustar();
    header.set_path("bin/busybox").expect("a name");
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(busybox.len() as u64);
    header.set_cksum();
    let mut tar = Tar::new().directory("bin");
    tar.0.append(&header, &*busybox).expect("tar");
    ["sh", "cat", "ls", "rm", "mount"].iter().fold(tar, |tar, name| {
        tar.link(EntryType::Symlink, &format!("bin/{name}"), "busybox")
    })
}

fn layer_of(image: &Image, bundle: &str, number: u8) -> PathBuf {
    let link = image.path(bundle).join("layers").join(number.to_string());
    fs::read_link(link).expect("a layer")
}

pub fn bundles_share_their_layers_while_they_need_them() {
    let base = || Tar::new().file("base", "the same");
    let one = Image::of([base(), Tar::new().file("word", &token())]);
    let mut other = Image::of([base(), Tar::new().file("word", &token())]);
    other.shares_store_with(&one);
    let unpacked = |image: &Image, bundle: &str| {
        let output = image.unpack_into(bundle, &["env"]).output();
        let output = output.expect("unpack");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).matches("unpack layer").count()
    };
    assert_eq!(unpacked(&one, "bundle"), 2);
    assert_eq!(unpacked(&other, "bundle"), 1);
    let shared = layer_of(&one, "bundle", 1);
    assert_eq!(layer_of(&other, "bundle", 1), shared);
    assert_ne!(layer_of(&other, "bundle", 2), layer_of(&one, "bundle", 2));
    assert_eq!(unpacked(&one, "again"), 0);
    assert_eq!(one.stored().len(), 3);
    // A layer of which there is a bundle stays without its image, and one of
    // an image without a bundle.
    fs::remove_dir_all(one.path("image")).expect("remove");
    fs::remove_dir_all(other.path("bundle")).expect("remove");
    fs::remove_dir_all(one.path("again")).expect("remove");
    assert_eq!(unpacked(&other, "again"), 0);
    assert_eq!(one.stored().len(), 3);
    // Whoever comes next takes away what nobody needs.
    let own = layer_of(&one, "bundle", 2);
    fs::remove_dir_all(one.path("bundle")).expect("remove");
    assert_eq!(unpacked(&other, "bundle"), 0);
    assert_eq!(one.stored().len(), 2);
    assert!(shared.exists() && !own.exists());
}

pub fn two_that_unpack_at_once_share_what_one_of_them_unpacks() {
    let many = (0..200).fold(Tar::new(), |tar, number| {
        tar.file(&number.to_string(), &token())
    });
    let image = Image::of([many, Tar::new().file("word", "x")]);
    let start = |number: u8| {
        let mut unpack = image.unpack_into(&number.to_string(), &["env"]);
        unpack.stderr(Stdio::piped()).spawn().expect("unpack")
    };
    let running: Vec<_> = (0..6).map(start).collect();
    let mut unpacked = 0;
    for process in running {
        let output = process.wait_with_output().expect("its end");
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        unpacked += told.matches("unpack layer").count();
    }
    assert_eq!(unpacked, 2);
    assert_eq!(image.stored().len(), 2);
    let first = layer_of(&image, "0", 1);
    assert!((0..6).all(|it| layer_of(&image, &it.to_string(), 1) == first));
}

/// A runtime makes the container that config.json describes: its own writes go
/// to the bundle, and each layer stays as it was.
fn runs(runtime: &Path) {
    let (word, new) = (token(), token());
    let below = Tar::new().file("word", &word).file("gone", "x");
    let mut image =
        Image::of([shell(), below, Tar::new().file(".wh.gone", "")]);
    let script = format!("cat /word; ls /gone; echo {new} >/word; cat /word");
    image.config = json!({ "Cmd": ["/bin/sh", "-c", script] });
    image.write();
    let output = image.unpack();
    assert!(output.status.success(), "{output:?}");
    let layer = layer_of(&image, "bundle", 2);
    let mut run = Command::new(runtime);
    run.arg("--root").arg(image.path("bundle/state")).arg("run");
    run.args(["--bundle".into(), image.path("bundle")]).arg(token());
    let output = run.stdin(Stdio::null()).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{word}{new}\n"), "{output:?}");
    assert_eq!(text(&layer.join("word")), word);
    assert_eq!(text(&image.path("bundle/upper/word")).trim(), new);
}

pub fn a_bundle_of_layers_is_a_container_for_this_runtime() {
    runs(&binary("11-oci-runtime"));
}

pub fn a_bundle_of_layers_is_a_container_for_runc() {
    needs::host_root();
    runs(&needs::command("runc"));
}

/// Nobody says what a directory is that a layer has only for what is in it.
pub fn a_directory_without_an_entry_is_as_it_is_below() {
    let closed =
        |tar: Tar| tar.entry(EntryType::Directory, "d", "", 0o1750, "");
    let image = Image::of([
        closed(Tar::new()).file("d/old", "x"),
        Tar::new().file("d/new", "x"),
        Tar::new().file("d/e/newer", "x"),
    ]);
    let root = image.root();
    let about = |name: &str| fs::metadata(root.join(name)).expect(name);
    assert_eq!(about("d").permissions().mode() & 0o7777, 0o1750);
    assert_eq!(about("d/e").permissions().mode() & 0o7777, 0o755);
    assert_eq!(about("d").mtime(), 1_000_000_000);
    for name in ["d/old", "d/new", "d/e/newer"] {
        assert!(root.join(name).exists(), "{name}");
    }
    // And where one may lead through a link, no layer can say.
    Image::of([
        Tar::new().directory("d").link(EntryType::Symlink, "l", "d"),
        Tar::new().file("l/new", "x"),
    ])
    .refused(&[
        "layer sha256:",
        "l: it goes through",
        "an entry for each",
    ]);
}
