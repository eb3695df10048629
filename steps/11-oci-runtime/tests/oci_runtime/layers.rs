//! Claims about the layers of images: kept once, and shared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tar::EntryType;
use testbed::{Step, binary, checkout, needs, skip, token};

use crate::images::{
    Image, Tar, json, needs_user_attributes, sum, text, zipped,
};

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
    one.remove("image");
    other.remove("bundle");
    one.remove("again");
    assert_eq!(unpacked(&other, "again"), 0);
    assert_eq!(one.stored().len(), 3);
    // Whoever comes next takes away what nobody needs.
    let own = layer_of(&one, "bundle", 2);
    one.remove("bundle");
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
fn runs(mut run: Command) {
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
    run.arg("--root").arg(image.path("bundle/state")).arg("run");
    run.args(["--bundle".into(), image.path("bundle")]).arg(token());
    let output = run.stdin(Stdio::null()).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{word}{new}\n"), "{output:?}");
    assert_eq!(text(&layer.join("word")), word);
    assert_eq!(text(&image.path("bundle/upper/word")).trim(), new);
}

pub fn a_bundle_of_layers_is_a_container_for_this_runtime() {
    runs(Command::new(binary("11-oci-runtime")));
}

pub fn a_bundle_of_layers_is_a_container_for_runc() {
    needs::host_root();
    runs(engines_own("runc"));
}

/// An image in place of the usual root directory, for the steps with an overlay.
pub fn a_step_begins_with_an_image() {
    let (word, new) = (token(), token());
    let below = Tar::new().file("word", &word).file("gone", "x");
    let mut image =
        Image::of([shell(), below, Tar::new().file(".wh.gone", "")]);
    let script = "cat /word; ls /gone; echo \"$WORD\" >/word; cat /word";
    image.config = json!({
        "Entrypoint": ["/bin/sh"], "Cmd": ["-c", script],
        "Env": [format!("WORD={new}"), "HOME"],
    });
    image.write();
    let step = |name: &str| {
        let mut step = Step::new(name).arg("--image", image.path("image"));
        step.command().env("XDG_CACHE_HOME", image.store());
        step.arg("--network", "none")
    };
    for name in ["08-networking", "09-least-privilege"] {
        // Its own command, with its variables.
        assert_eq!(
            step(name).output().stdout,
            format!("{word}{new}\n").as_bytes()
        );
        // Another one; and nothing of what the first wrote.
        let with = step(name).args(["--env", "WORD=other"]);
        let said = with.sh("cat /word; echo; echo $WORD").stdout();
        assert_eq!(said, format!("{word}\nother"));
    }
    let above = image.path("above");
    fs::create_dir(&above).expect("mkdir");
    fs::write(above.join("word"), &new).expect("write");
    let layered = step("08-networking").arg("--layer", &above);
    assert_eq!(layered.args(["cat", "/word"]).stdout(), new);
    assert_eq!(
        image.stored().iter().filter(|it| it.starts_with("image-")).count(),
        3
    );
    let output = step("08-networking").args(["--rootfs", "/"]).output();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    fs::remove_file(image.path("image/index.json")).expect("remove");
    let output = step("08-networking").output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--image ") && told.contains("first page"), "{told}");
}

/// As docker does it: a name is one of the image's own.
pub fn a_step_takes_the_user_and_the_place_of_an_image() {
    let (name, place) = (token(), token());
    let random = u32::from_str_radix(&name[1..4], 16).expect("hex");
    let (uid, gid) = (random + 1, random + 2);
    let passwd = format!("root:x:0:0:::\n{name}:x:{uid}:{gid}::/:\n");
    let users = Tar::new().file("etc/passwd", &passwd);
    let mut image = Image::of([shell(), users]);
    let said = |image: &Image, options: &[&str]| {
        image.write();
        let mut step = Step::new("08-networking")
            .arg("--image", image.path("image"))
            .arg("--network", "none")
            .args(options);
        step.command().env("XDG_CACHE_HOME", image.store());
        let output = step.sh("busybox id -u; busybox id -g; pwd").output();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if told.contains("no such id") && told.contains("EINVAL") {
            skip("needs a range of user ids");
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    image.config = json!({ "User": name, "WorkingDir": format!("/{place}/x") });
    assert_eq!(said(&image, &[]), format!("{uid} {gid} /{place}/x"));
    // Whoever says another one gets it.
    let other = ["--user", "0", "--workdir", "/bin"];
    assert_eq!(said(&image, &other), "0 0 /bin");
    image.config = json!({ "User": format!("{gid}:{uid}") });
    assert_eq!(said(&image, &[]), format!("{gid} {uid} /"));
}

/// All that can be seen of a file, but for the place where it lies.
fn facts(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut names) = (BTreeMap::new(), BTreeMap::new());
    let mut to_look_at = vec![root.to_owned()];
    while let Some(path) = to_look_at.pop() {
        let name = path.strip_prefix(root).expect("below").to_owned();
        let there = fs::symlink_metadata(&path).expect("it is there");
        if there.is_dir() {
            let all = fs::read_dir(&path).expect("read").flatten();
            to_look_at.extend(all.map(|it| it.path()));
        }
        let content = match there.is_file() {
            true => fs::read(&path).expect("read"),
            false => fs::read_link(&path)
                .map_or(vec![], |it| it.into_os_string().into_encoded_bytes()),
        };
        let attributes = ["security.capability", "user.word"].map(|key| {
            let mut value = [0; 64];
            let length = rustix::fs::lgetxattr(&path, key, &mut value);
            length.map(|length| value[..length].to_vec()).ok()
        });
        // A second name of the same file is told by the first.
        let same = names.entry(there.ino()).or_insert_with(|| name.clone());
        let fact = (
            format!("{:o}", there.mode()),
            (there.uid(), there.gid(), there.mtime()),
            (content, attributes, there.is_file().then(|| same.clone())),
        );
        found.insert(name, format!("{fact:?}"));
    }
    found
}

/// An image with each kind of file, and each way to change it.
fn varied() -> Image {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let below = Tar::new()
        .entry(EntryType::Directory, "./", "", 0o755, "")
        .entry(EntryType::Directory, "d", "", 0o1777, "")
        .file("d/old", &token())
        .file("d/gone", "x")
        .directory("o")
        .file("o/gone", "x")
        .directory("tree")
        .directory("tree/deep")
        .file("tree/deep/gone", "x")
        .file("becomes-directory", "x")
        .directory("becomes-file")
        .file("becomes-file/gone", "x")
        .link(EntryType::Symlink, "link", "/d/old")
        .link(EntryType::Symlink, "becomes-another", "d")
        .entry(EntryType::Regular, "su", "", 0o4755, &token())
        .link(EntryType::Link, "same", "su")
        .attribute("security.capability", capability)
        .file("ping", "x")
        .attribute("user.word", token().as_bytes())
        .file("attribute", "x");
    let above = Tar::new()
        .file("d/.wh.gone", "")
        .file("d/new", &token())
        .directory("o")
        .file("o/.wh..wh..opq", "")
        .file("o/new", &token())
        .file(".wh.tree", "")
        .directory("becomes-directory")
        .file("becomes-directory/new", &token())
        .file("becomes-file", &token())
        .link(EntryType::Symlink, "becomes-another", "o")
        .entry(EntryType::Regular, "closed", "", 0, &token());
    let top =
        Tar::new().file("d/old", &token()).file("becomes-directory/x", "");
    let image = Image::of([below, above, top]);
    needs_user_attributes(&image);
    image
}

/// umoci is an unpacker of others: of the same image it makes the same tree.
pub fn umoci_makes_the_same_tree_of_an_image() {
    needs::host_root();
    let mut unpack = engines_own("umoci");
    let image = varied();
    image.is_called("it");
    let theirs = image.path("umoci");
    let of = format!("{}:it", image.path("image").display());
    let output = unpack.args(["unpack", "--image", &of]).arg(&theirs).output();
    let output = output.expect("umoci");
    assert!(output.status.success(), "{output:?}");
    let (ours, theirs) = (facts(&image.root()), facts(&theirs.join("rootfs")));
    for (name, fact) in &theirs {
        assert_eq!(ours.get(name), Some(fact), "{}", name.display());
    }
    assert_eq!(ours.len(), theirs.len(), "{:?}", ours.keys());
}

/// A program of those that scripts/engines.sh has, with its libraries.
fn engines_own(program: &str) -> Command {
    needs::real_processor();
    let check = checkout().join("scripts/engines.sh");
    let check = Command::new(check).arg("--check").output().expect("check");
    let place = String::from_utf8_lossy(&check.stdout).trim().to_owned();
    let places =
        ["bin", "sbin"].map(|it| format!("{place}/usr/{it}/{program}"));
    let Some(path) = places.iter().find(|it| Path::new(it).is_file()) else {
        skip(format!("needs {program}: ./scripts/engines.sh --get"))
    };
    let mut command = Command::new(path);
    let machine = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    command.env("LD_LIBRARY_PATH", format!("{place}/{machine}"));
    command
}

/// skopeo is a writer of others: its zstd, and its tar files as docker save's.
pub fn what_skopeo_writes_becomes_the_same_tree() {
    needs::host_root();
    let image = varied();
    image.is_called("it");
    let of = format!("oci:{}:it", image.path("image").display());
    let to = |name: &str| image.path(name).display().to_string();
    let zstd = ["--dest-compress", "--dest-compress-format", "zstd"];
    let copies = [
        ("zstd", format!("oci:{}:it", to("zstd")), &zstd[..]),
        ("saved", format!("docker-archive:{}:it:1", to("saved")), &[]),
    ];
    let expected = facts(&image.root());
    for (name, target, options) in copies {
        let mut copy = engines_own("skopeo");
        copy.args(["--insecure-policy", "copy"]);
        let output = copy.args(options).args([&of, &target]);
        let output = output.output().expect("skopeo");
        assert!(output.status.success(), "{output:?}");
        let (bundle, root) = (format!("{name}-bundle"), format!("{name}-root"));
        let output = image.unpack_of(name, &bundle, &["env"]).output();
        let output = output.expect("unpack");
        assert!(output.status.success(), "{output:?}");
        // By diff id, they are the same layers.
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("unpack layer"), "{told}");
        image.remove(&bundle);
        let other = image.path("other-cache");
        let mut unpack = image.unpack_of(name, &bundle, &["env"]);
        let output = unpack.env("XDG_CACHE_HOME", &other).output();
        let output = output.expect("unpack");
        assert!(output.status.success(), "{output:?}");
        let found = facts(&image.merged_of(&bundle, &root));
        assert_eq!(found, expected, "{name}");
        fs::remove_dir_all(other).expect("remove");
    }
    let bytes = fs::read(image.path("zstd/index.json")).expect("read");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("manifest"), "{text}");
}

/// docker save has written two forms: before version 25 one of its own.
pub fn what_docker_save_wrote_is_an_image() {
    let (word, other) = (token(), token());
    let layers = [
        Tar::new().file("word", &word).bytes(),
        Tar::new().file("other", &other).bytes(),
    ];
    let sums = layers.each_ref().map(|it| format!("sha256:{}", sum(it)));
    let [first, second] = &sums;
    let config = json!({
        "os": "linux", "architecture": "amd64",
        "config": { "Cmd": ["it"] },
        "rootfs": { "type": "layers", "diff_ids": [first, second, first] },
    })
    .to_string();
    let name = format!("{}.json", sum(config.as_bytes()));
    let page = |config: &str| {
        json!([{
            "Config": config, "RepoTags": ["it:1"],
            "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"],
        }])
    };
    // Names are short here: the library's long ones are told elsewhere.
    let saved = |page: Value, config: &str, layer: &[u8]| {
        let mut tar = tar::Builder::new(vec![]);
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes).expect("tar");
        };
        add("a/layer.tar", layer);
        add("b/layer.tar", &layers[1]);
        add(&name, config.as_bytes());
        add("manifest.json", page.to_string().as_bytes());
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        let target = "../a/layer.tar";
        tar.append_link(&mut link, "c/layer.tar", target).expect("tar");
        tar.into_inner().expect("tar")
    };
    let image = Image::new();
    image.remove("image");
    let file = image.path("image");
    let good = saved(page(&name), &config, &layers[0]);
    fs::write(&file, &good).expect("write");
    let root = image.root();
    assert_eq!(text(&root.join("word")), word);
    assert_eq!(text(&root.join("other")), other);
    let bundle = image.path("bundle/config.json");
    assert_eq!(json(&bundle)["process"]["args"], json!(["it"]));
    assert!(layer_of(&image, "bundle", 3).join("word").exists());
    // The same in a directory.
    fs::remove_file(&file).expect("remove");
    fs::create_dir(&file).expect("mkdir");
    tar::Archive::new(&good[..]).unpack(&file).expect("tar");
    let output = image.unpack_into("again", &["env"]).output().expect("unpack");
    assert!(output.status.success(), "{output:?}");
    fs::remove_dir_all(&file).expect("remove");
    for name in ["bundle", "again", "root"] {
        image.remove(name);
    }
    // What lies, where none of it is known yet.
    fs::remove_dir_all(image.store()).expect("remove");
    let refused = |bytes: &[u8], words: &[&str]| {
        fs::write(&file, bytes).expect("write");
        image.refused(words);
    };
    let changed = Tar::new().file("word", "x").bytes();
    let lie = saved(page(&name), &config, &changed);
    refused(&lie, &["is not what its name says"]);
    refused(
        &saved(page(&name), "{}", &layers[0]),
        &["is not what its name says"],
    );
    let up = saved(page("../up.json"), &config, &layers[0]);
    refused(&up, &["leads out of the image"]);
    let both = json!([page(&name)[0], page(&name)[0]]);
    refused(
        &saved(both, &config, &layers[0]),
        &["2 images", "docker save IMAGE"],
    );
    refused(&zipped(&good), &["gunzip --keep"]);
    refused(&[7; 2048], &["nor a tar file"]);
    refused(&Tar::new().file("a", "a").bytes(), &["no file oci-layout"]);
    // Since then, it is an OCI layout in a tar file, with the old page beside it.
    let new = Image::of([Tar::new().file("word", &word)]);
    new.is_called("it");
    let mut tar = tar::Builder::new(vec![]);
    tar.append_dir_all(".", new.path("image")).expect("tar");
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    tar.append_data(&mut header, "manifest.json", &b"[]"[..]).expect("tar");
    fs::write(&file, tar.into_inner().expect("tar")).expect("write");
    assert_eq!(text(&image.root().join("word")), word);
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
