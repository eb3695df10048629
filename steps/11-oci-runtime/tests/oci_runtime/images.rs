//! Claims about images: each makes its own, of tars with random facts.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use rustix::fs::XattrFlags;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use testbed::{binary, needs, skip, token};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// When each file of each image was written.
const TIME: i64 = 1_000_000_000;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A tar file in the making.
pub struct Tar(pub Builder<Vec<u8>>);

impl Tar {
    pub fn new() -> Tar {
        Tar(Builder::new(vec![]))
    }

    /// Names and targets as they are: the library's own functions refuse what
    /// an enemy writes.
    pub fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        target: &str,
        mode: u32,
        text: &str,
    ) -> Tar {
        let mut header = Header::new_ustar();
        let place = |text: &str, field: &mut [u8]| {
            field[..text.len()].copy_from_slice(text.as_bytes());
        };
        place(name, &mut header.as_old_mut().name);
        place(target, &mut header.as_old_mut().linkname);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(if mode & 0o4000 == 0 { 0 } else { 7 });
        header.set_gid(0);
        header.set_mtime(TIME as u64);
        header.set_size(text.len() as u64);
        header.set_cksum();
        self.0.append(&header, text.as_bytes()).expect("tar");
        self
    }

    pub fn file(self, name: &str, text: &str) -> Tar {
        self.entry(EntryType::Regular, name, "", 0o644, text)
    }

    pub fn directory(self, name: &str) -> Tar {
        self.entry(EntryType::Directory, name, "", 0o755, "")
    }

    pub fn link(self, kind: EntryType, name: &str, target: &str) -> Tar {
        self.entry(kind, name, target, 0o777, "")
    }

    pub fn attribute(mut self, key: &str, value: &[u8]) -> Tar {
        let name = format!("SCHILY.xattr.{key}");
        self.0.append_pax_extensions([(&*name, value)]).expect("pax");
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("tar")
    }
}

pub fn sum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(vec![], Compression::default());
    zip.write_all(bytes).expect("gzip");
    zip.finish().expect("gzip")
}

/// An image in a directory, beside the place for its bundle.
pub struct Image {
    place: TempDir,
    store: PathBuf,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
    pub config: Value,
}

impl Image {
    pub fn new() -> Image {
        let place = tempfile::tempdir().expect("a directory");
        let blobs = place.path().join("image/blobs/sha256");
        fs::create_dir_all(blobs).expect("mkdir");
        let (store, config) = (place.path().join("cache"), json!({}));
        Image { place, store, layers: vec![], diff_ids: vec![], config }
    }

    pub fn of(tars: impl IntoIterator<Item = Tar>) -> Image {
        let mut image = Image::new();
        for tar in tars {
            let bytes = tar.bytes();
            let diff_id = format!("sha256:{}", sum(&bytes));
            image.layer(GZIP, &zipped(&bytes), diff_id);
        }
        image.write();
        image
    }

    pub fn layer(&mut self, kind: &str, blob: &[u8], diff_id: String) {
        let layer = self.blob(kind, blob);
        self.layers.push(layer);
        self.diff_ids.push(diff_id);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// As programs want it that have several in one directory.
    pub fn is_called(&self, name: &str) {
        let mut manifest = self.manifest();
        manifest["annotations"] =
            json!({ "org.opencontainers.image.ref.name": name });
        self.index(&[manifest]);
    }

    /// As a person does: of an overlay, its owner may not read `work/work`.
    pub fn remove(&self, name: &str) {
        let mut remove = Command::new("rm");
        remove.arg("-rf").arg(self.path(name));
        let _ = remove.status();
    }

    pub fn store(&self) -> &Path {
        &self.store
    }

    pub fn shares_store_with(&mut self, other: &Image) {
        self.store = other.store.clone();
    }

    fn blob_of(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().expect("a digest");
        self.path("image/blobs/sha256").join(&digest["sha256:".len()..])
    }

    pub fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", sum(bytes));
        let blob =
            json!({ "mediaType": kind, "digest": digest, "size": bytes.len() });
        fs::write(self.blob_of(&blob), bytes).expect("a blob");
        blob
    }

    fn manifest(&self) -> Value {
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids },
        });
        let kind = "application/vnd.oci.image.config.v1+json";
        let config = self.blob(kind, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "config": config, "layers": self.layers,
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    pub fn write(&self) {
        self.index(&[self.manifest()]);
    }

    pub fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(self.path("image/oci-layout"), layout).expect("write");
        fs::write(self.path("image/index.json"), index.to_string())
            .expect("write");
    }

    pub fn unpack(&self) -> Output {
        self.unpack_by(&["env"])
    }

    /// By a program that starts another.
    pub fn unpack_by(&self, by: &[&str]) -> Output {
        self.unpack_into("bundle", by).output().expect("unpack")
    }

    pub fn unpack_into(&self, bundle: &str, by: &[&str]) -> Command {
        self.unpack_of("image", bundle, by)
    }

    pub fn unpack_of(&self, of: &str, bundle: &str, by: &[&str]) -> Command {
        let mut unpack = Command::new(by[0]);
        unpack.args(&by[1..]).arg(binary("11-oci-runtime"));
        unpack.arg("unpack").arg(self.path(of)).arg(self.path(bundle));
        unpack.env("XDG_CACHE_HOME", &self.store);
        unpack
    }

    /// What is beside it.
    fn beside(&self) -> Vec<String> {
        let left = names(self.place.path()).into_iter();
        left.filter(|it| !["image", "cache", "root"].contains(&&**it)).collect()
    }

    /// What is in the store.
    pub fn stored(&self) -> Vec<String> {
        let store = self.store.join("container-workshop");
        let all = if store.exists() { names(&store) } else { vec![] };
        all.into_iter().filter(|it| it != "lock").collect()
    }

    /// Its root directory.
    pub fn root(&self) -> PathBuf {
        let output = self.unpack();
        assert!(output.status.success(), "{output:?}");
        self.merged()
    }

    /// A copy of what a container finds there: of the mount in config.json.
    pub fn merged(&self) -> PathBuf {
        self.merged_of("bundle", "root")
    }

    pub fn merged_of(&self, bundle: &str, root: &str) -> PathBuf {
        let bundle = self.path(bundle);
        let mount = &json(&bundle.join("config.json"))["mounts"][0];
        assert_eq!(
            (&mount["destination"], &mount["type"]),
            (&json!("/"), &json!("overlay"))
        );
        let options = mount["options"].as_array().expect("options").iter();
        let options: Vec<_> =
            options.map(|it| it.as_str().expect("an option")).collect();
        let mut mounted = Command::new("unshare");
        if !needs::is_root() {
            mounted.args(["--user", "--map-root-user"]);
        }
        let script = "mount -t overlay overlay -o \"$1\" $2 && cp -a $2 $3";
        mounted.args(["--mount", "sh", "-c", script, "sh"]);
        mounted.arg(options.join(",")).arg(bundle.join("rootfs"));
        let output = mounted.arg(self.path(root)).output().expect("unshare");
        assert!(output.status.success(), "{output:?}");
        self.path(root)
    }

    /// Refused, with these words, and with nothing left beside the image.
    pub fn refused(&self, words: &[&str]) {
        let output = self.unpack();
        assert!(!output.status.success(), "{words:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for word in words {
            assert!(told.contains(word), "{word:?} is not in {told}");
        }
        let left = self.beside();
        assert!(left.iter().all(|it| it == "outside"), "left: {left:?}");
        let half = self.stored().into_iter().find(|it| it.starts_with("new-"));
        assert_eq!(half, None);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for name in names(self.place.path()) {
            self.remove(&name);
        }
    }
}

/// Of what is in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let all = fs::read_dir(directory).expect("read");
    let all = all.map(|it| it.expect("it").file_name());
    all.map(|it| it.into_string().expect("a name")).collect()
}

pub fn json(file: &Path) -> Value {
    serde_json::from_str(&text(file)).expect("JSON")
}

pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{path:?}: {why}"))
}

/// A mark that hides a directory of the layers below is one.
pub fn needs_user_attributes(image: &Image) {
    let (place, flags) = (image.place.path(), XattrFlags::empty());
    if rustix::fs::setxattr(place, "user.workshop", b"y", flags).is_err() {
        skip("needs a directory for files that takes user attributes");
    }
}

pub fn an_image_becomes_a_bundle() {
    let word = token();
    let mut image = Image::of([Tar::new()
        .directory("etc")
        .file("etc/passwd", "root:x:0:0::/:\nweb:x:41:42::/:\n")
        .file("word", &word)]);
    image.config = json!({
        "User": "web", "Env": [format!("WORD={word}")],
        "Entrypoint": ["/bin/echo"], "Cmd": [word], "WorkingDir": "/etc",
    });
    image.write();
    let root = image.root();
    assert_eq!(text(&root.join("word")), word);
    let config = json(&image.path("bundle/config.json"));
    let process = &config["process"];
    assert_eq!(process["args"], json!(["/bin/echo", word]));
    assert_eq!(process["env"], json!([format!("WORD={word}")]));
    assert_eq!(process["cwd"], "/etc");
    assert_eq!(process["user"], json!({ "uid": 41, "gid": 42 }));
    // What is there already stays as it is.
    let output = image.unpack();
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(json(&image.path("bundle/config.json")), config);
}

pub fn a_layer_deletes_what_is_below_it_and_not_its_own() {
    let (old, new) = (token(), token());
    let below = Tar::new()
        .directory("d")
        .file("d/old", &old)
        .directory("o")
        .file("o/old", &old)
        .file("gone", &old)
        .file("kept", &old)
        .directory("becomes-file")
        .file("becomes-file/x", &old)
        .link(EntryType::Symlink, "becomes-directory", "d")
        .link(EntryType::Symlink, "becomes-new", "d");
    let above = Tar::new()
        .file(".wh.gone", "")
        .file("o/new", &new)
        .file("o/.wh..wh..opq", "")
        .file(".wh.d", "")
        .file("becomes-file", &new)
        .directory("becomes-directory")
        .file("becomes-directory/x", &new)
        .file("nowhere/.wh.x", "")
        .file(".wh.becomes-new", "")
        .directory("becomes-new")
        .file("becomes-new/x", &new)
        .file("becomes-new/.wh.y", "");
    let image = Image::of([below, above]);
    needs_user_attributes(&image);
    let root = image.root();
    for gone in ["gone", "d", "o/old", ".wh.gone", "o/.wh..wh..opq"] {
        assert!(!root.join(gone).exists(), "{gone}");
    }
    assert_eq!(text(&root.join("kept")), old);
    for name in
        ["o/new", "becomes-file", "becomes-directory/x", "becomes-new/x"]
    {
        assert_eq!(text(&root.join(name)), new, "{name}");
    }
    // No mark is seen where it hides nothing.
    assert_eq!(names(&root.join("nowhere")), [""; 0]);
    assert_eq!(names(&root.join("becomes-new")), ["x"]);
}

pub fn a_file_of_an_image_keeps_what_it_is() {
    crate::needs_root();
    // VFS_CAP_REVISION_2, with CAP_NET_RAW permitted and effective.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::new()
        .entry(EntryType::Regular, "su", "", 0o4755, "x")
        .link(EntryType::Link, "same", "su")
        .link(EntryType::Symlink, "link", "/etc/passwd")
        .entry(EntryType::Directory, "tmp", "", 0o1777, "")
        .entry(EntryType::Fifo, "device", "", 0o666, "")
        .attribute("security.capability", capability)
        .file("ping", "x");
    let image = Image::of([tar]);
    let output = image.unpack();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("left out: device"), "{told}");
    let root = image.merged();
    let about = |name: &str| fs::symlink_metadata(root.join(name)).expect(name);
    assert_eq!(about("su").mode() & 0o7777, 0o4755);
    assert_eq!(about("su").uid(), 7);
    assert_eq!(about("su").ino(), about("same").ino());
    assert_eq!(about("tmp").permissions().mode() & 0o7777, 0o1777);
    assert!(!root.join("device").exists());
    let link = fs::read_link(root.join("link")).expect("a link");
    assert_eq!(link, Path::new("/etc/passwd"));
    let mut value = [0; 64];
    let ping = root.join("ping");
    let length = rustix::fs::getxattr(&ping, "security.capability", &mut value);
    let length = length.expect("a file capability");
    // Asked for in a user namespace, it comes in the longer form.
    assert_eq!(value[4..length.min(20)], capability[4..]);
}

/// In a user namespace, a container's root is somebody else, who has to pass.
pub fn a_directory_is_what_the_image_says() {
    let umask = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let about = |image: &Image, name: &str| {
        let about = fs::metadata(image.path(name)).expect(name);
        (about.mode() & 0o7777, about.mtime())
    };
    let image = Image::of([Tar::new().file("implied/word", "x")]);
    let output = image.unpack_by(&umask);
    assert!(output.status.success(), "{output:?}");
    image.merged();
    for name in ["bundle", "bundle/rootfs", "root", "root/implied"] {
        assert_eq!(about(&image, name).0, 0o755, "{name}");
    }
    assert_eq!(about(&image, "bundle/config.json").0, 0o644);
    let below = Tar::new()
        .entry(EntryType::Directory, "./", "", 0o711, "")
        .entry(EntryType::Directory, "d/", "", 0o1777, "")
        .directory("becomes-link")
        .file("d/word", "x");
    let above = Tar::new().file("d/another", "x").link(
        EntryType::Symlink,
        "becomes-link",
        "d",
    );
    let image = Image::of([below, above]);
    let output = image.unpack_by(&umask);
    assert!(output.status.success(), "{output:?}");
    image.merged();
    assert_eq!(about(&image, "root"), (0o711, TIME));
    assert_eq!(about(&image, "root/d"), (0o1777, TIME));
    assert_eq!(about(&image, "root/d/another").1, TIME);
}

pub fn an_owner_that_is_nobody_here_is_root() {
    let tar = Tar::new()
        .entry(EntryType::Regular, "one", "", 0o4755, "x")
        .entry(EntryType::Regular, "two", "", 0o4711, "x")
        .file("three", "x");
    let image = Image::of([tar]);
    let output = image.unpack_by(&["unshare", "--user", "--map-root-user"]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = ["left out: the owner of one (", "files like this: 2"];
    assert!(words.iter().all(|it| told.contains(it)), "{told}");
    let told = told.lines().filter(|it| it.starts_with("left out"));
    assert_eq!(told.count(), 1);
    image.merged();
    for (name, mode) in [("one", 0o4755), ("two", 0o4711), ("three", 0o644)] {
        let about = fs::metadata(image.path("root").join(name));
        let about = about.expect(name);
        assert_eq!(about.uid(), geteuid().as_raw(), "{name}");
        assert_eq!(about.mode() & 0o7777, mode, "{name}");
    }
}

pub fn an_unpack_that_is_ended_leaves_nothing() {
    let strace = needs::command("strace").display().to_string();
    let image = Image::of([Tar::new().directory("d").file("d/word", "x")]);
    let killed = |calls: &str, signal: &str, nth: u8| {
        let inject = format!("--inject={calls}:signal={signal}:when={nth}");
        let trace = format!("--trace={calls}");
        image.unpack_by(&[
            &strace,
            "-qq",
            "-f",
            "-o",
            "/dev/null",
            &trace,
            &inject,
        ])
    };
    // Before the second directory that it makes: the store.
    for signal in ["INT", "TERM", "HUP"] {
        let output = killed("?mkdir,?mkdirat", signal, 2);
        assert!(output.status.signal().is_some(), "{output:?}");
        assert_eq!(image.beside(), [""; 0], "{signal}");
    }
    assert_eq!(image.stored(), [""; 0]);
    // Before a layer, and then the bundle, gets its name: all of it is there.
    for (nth, stored) in [(1, "new-"), (2, "image-")] {
        killed("?rename,?renameat,?renameat2", "KILL", nth);
        let left = image.beside();
        assert!(left.len() == 1 && left[0].starts_with(".unpack-"), "{left:?}");
        let left = image.stored();
        assert!(left.len() == 1 && left[0].starts_with(stored), "{left:?}");
    }
    // Who is alive keeps what is his.
    let dead = image.path(&image.beside()[0]);
    let alive = image.path(".unpack-alive");
    fs::create_dir(&alive).expect("mkdir");
    let alive = File::open(alive).expect("open");
    let alive = Flock::lock(alive, FlockArg::LockExclusive).expect("a lock");
    image.root();
    assert!(!dead.exists());
    let mut left = image.beside();
    left.sort();
    assert_eq!(left, [".unpack-alive", "bundle"]);
    assert_eq!(image.stored().len(), 1);
    drop(alive);
}

pub fn the_manifest_of_this_machine_is_taken() {
    let word = token();
    let mut image = Image::of([Tar::new().file("word", &word)]);
    let ours = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    let with = |architecture: &str, mut it: Value| {
        it["platform"] = json!({ "os": "linux", "architecture": architecture });
        it
    };
    let other = image.blob(MANIFEST, b"another machine's");
    let list = json!({ "manifests": [
        with("s390x", other.clone()), with(ours, image.manifest()),
    ]});
    image.index(&[image.blob(INDEX, list.to_string().as_bytes())]);
    assert_eq!(text(&image.root().join("word")), word);
    image.remove("bundle");
    image.remove("root");
    image.index(&[with("s390x", other)]);
    image.refused(&["no image for linux/", "get the one"]);
    let one = image.manifest();
    image.config = json!({ "Cmd": ["another"] });
    image.index(&[one.clone(), image.manifest()]);
    image.refused(&["2 images in one directory", "skopeo copy"]);
    // One by two names is one.
    image.index(&[one.clone(), one]);
    image.root();
}

pub fn a_blob_that_lies_is_refused() {
    let make = || Image::of([Tar::new().file("word", &token())]);
    // Of the right length, and damaged.
    let image = make();
    let blob = image.blob_of(&image.layers[0]);
    let mut bytes = fs::read(&blob).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, &bytes).expect("write");
    image.refused(&["is not what its name says", "get the image anew"]);
    // Cut short.
    fs::write(&blob, &bytes[..middle]).expect("write");
    image.refused(&["should have", "get the image anew"]);
    fs::remove_file(&blob).expect("remove");
    image.refused(&["part of the image is missing"]);
    // A size that lies.
    let mut image = make();
    image.layers[0]["size"] = json!(1);
    image.write();
    image.refused(&["and should have 1"]);
    // A name that leads elsewhere.
    image.layers[0]["digest"] = json!("sha256:../../../outside");
    image.write();
    image.refused(&["is no sha256 digest"]);
    // A blob of another image, and honest.
    let mut image = make();
    image.diff_ids[0] = format!("sha256:{}", sum(b"another"));
    image.write();
    image.refused(&["it belongs to another image"]);
    image.diff_ids.clear();
    image.write();
    image.refused(&["1 layers, and the configuration 0"]);
}

pub fn what_is_no_image_is_refused() {
    let mut image = Image::of([Tar::new().file("a", "a")]);
    image.layers[0]["mediaType"] =
        json!("application/vnd.oci.image.layer.v1.tar+lz4");
    image.write();
    image.refused(&["tar+lz4", "--dest-compress-format gzip"]);
    let other = image.blob("text/plain", b"{}");
    image.index(&[other]);
    image.refused(&["\"text/plain\" is no manifest", "skopeo copy"]);
    fs::write(image.path("image/index.json"), "{").expect("write");
    image.refused(&["index.json"]);
    fs::remove_file(image.path("image/index.json")).expect("remove");
    image.refused(&["index.json", "ENOENT"]);
    fs::remove_file(image.path("image/oci-layout")).expect("remove");
    image.refused(&["no file oci-layout", "skopeo copy"]);
    let mut image = Image::new();
    let noise = zipped(&[7; 2048]);
    let diff_id = format!("sha256:{}", sum(&[7; 2048]));
    image.layer(GZIP, &noise, diff_id);
    image.write();
    image.refused(&["this is not a tar file"]);
}

pub fn a_layer_that_climbs_out_is_refused() {
    let outside = |image: &Image| {
        fs::create_dir_all(image.path("outside")).expect("mkdir");
        fs::write(image.path("outside/secret"), "the host's").expect("write");
    };
    let link =
        |name: &str, to: &str| Tar::new().link(EntryType::Symlink, name, to);
    let up = "../../outside";
    let cases = [
        vec![Tar::new().file("../../outside/new", "x")],
        vec![Tar::new().file("a/../../../outside/new", "x")],
        vec![Tar::new().file("../../outside/.wh.secret", "")],
        vec![link("l", up).file("l/new", "x")],
        vec![link("l", up), Tar::new().file("l/new", "x")],
        vec![link("l", up), Tar::new().file("l/secret", "x")],
        vec![link("l", up), Tar::new().file("l/.wh.secret", "")],
        vec![link("l", up), Tar::new().file("l/.wh..wh..opq", "")],
        vec![link("l", up), Tar::new().directory("l/d")],
        vec![Tar::new().link(EntryType::Link, "h", "../../outside/secret")],
        vec![link("l", up), Tar::new().link(EntryType::Link, "h", "l/secret")],
    ];
    for (number, layers) in cases.into_iter().enumerate() {
        let image = Image::of(layers);
        outside(&image);
        println!("case {number}");
        image.refused(&["layer sha256:"]);
        let names = fs::read_dir(image.path("outside")).expect("read").count();
        assert_eq!(names, 1, "case {number}");
        let secret = image.path("outside/secret");
        assert_eq!(text(&secret), "the host's", "case {number}");
        assert_eq!(fs::metadata(&secret).expect("it").nlink(), 1);
    }
    // A link that is replaced is not followed, and / is the image's own.
    let image = Image::of([
        link("l", "../../outside/secret"),
        Tar::new().file("l", "x").file("/outside", "x"),
    ]);
    outside(&image);
    let root = image.root();
    assert_eq!(text(&image.path("outside/secret")), "the host's");
    assert_eq!(text(&root.join("l")), "x");
    assert_eq!(text(&root.join("outside")), "x");
    // A name in the image's passwd is looked up there, not on the host.
    let mut image = Image::of([Tar::new().directory("etc")]);
    image.config = json!({ "User": "nobody" });
    let host = image.path("outside");
    fs::write(&host, "nobody:x:1:1::/:\n").expect("write");
    let tar = link("etc/passwd", &host.display().to_string()).bytes();
    let diff_id = format!("sha256:{}", sum(&tar));
    image.layer(GZIP, &zipped(&tar), diff_id);
    image.write();
    image.refused(&["is in no file of the image"]);
    symlink("image", image.path("bundle")).expect("a link");
    let output = image.unpack();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("is there already"), "{told}");
}

pub fn a_layer_that_grows_without_end_is_refused() {
    needs::real_processor();
    // 80 MB of zeros, in 80 kB.
    let name = vec![0; 80 << 20];
    let mut tar = Tar::new();
    let mut header = Header::new_ustar();
    header.set_path("zeros").expect("a name");
    header.set_mode(0o644);
    header.set_size(name.len() as u64);
    header.set_cksum();
    tar.0.append(&header, &name[..]).expect("tar");
    Image::of([tar]).refused(&["a bomb", "64 MB"]);
}
