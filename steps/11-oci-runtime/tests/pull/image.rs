//! An image, and what a good registry says of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::server::{Answer, Asked};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub fn sum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This kind of machine, as images call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// So many bytes that no packer makes smaller.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![];
    let mut last = Sha256::digest(seed);
    while bytes.len() < length {
        bytes.extend(last);
        last = Sha256::digest(last);
    }
    bytes.truncate(length);
    bytes
}

#[derive(Clone)]
pub struct Image {
    /// By their digests.
    blobs: BTreeMap<String, (String, Vec<u8>)>,
    pub config: Value,
    pub layers: Vec<Value>,
    /// What its first page is.
    pub page: Value,
}

impl Image {
    /// Of layers, each of files with their mode. An empty one is a link to
    /// busybox.
    pub fn new(command: &[&str], layers: &[&[(&str, &[u8])]]) -> Image {
        let mut image = Image {
            blobs: BTreeMap::new(),
            config: Value::Null,
            layers: vec![],
            page: Value::Null,
        };
        let mut diff_ids = vec![];
        for files in layers {
            let tar = tar(files);
            diff_ids.push(format!("sha256:{}", sum(&tar)));
            let mut zip = GzEncoder::new(vec![], Compression::fast());
            zip.write_all(&tar).expect("gzip");
            let layer = image.blob(LAYER, zip.finish().expect("gzip"));
            image.layers.push(layer);
        }
        let config = json!({
            "os": "linux", "architecture": architecture(),
            "config": { "Cmd": command },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        image.config = image.blob(CONFIG, config.to_string());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": image.config, "layers": image.layers,
        });
        image.page = image.blob(MANIFEST, manifest.to_string());
        image
    }

    pub fn blob(&mut self, kind: &str, bytes: impl Into<Vec<u8>>) -> Value {
        let bytes = bytes.into();
        let digest = format!("sha256:{}", sum(&bytes));
        let blob =
            json!({ "mediaType": kind, "digest": digest, "size": bytes.len() });
        self.blobs.insert(digest, (kind.to_owned(), bytes));
        blob
    }

    /// Puts a list in front of it: of these, each for a kind of machine.
    pub fn listed(mut self, pages: &[(&Value, &str)]) -> Image {
        let manifests = pages.iter().map(|(page, architecture)| {
            let mut page = Value::clone(page);
            page["platform"] =
                json!({ "os": "linux", "architecture": architecture });
            page
        });
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": manifests.collect::<Vec<_>>(),
        });
        self.page = self.blob(INDEX, index.to_string());
        self
    }

    /// With all blobs of another.
    pub fn and(mut self, other: &Image) -> Image {
        self.blobs.extend(other.blobs.clone());
        self
    }

    pub fn bytes(&self, blob: &Value) -> &[u8] {
        &self.blobs[digest(blob)].1
    }

    /// What a good registry says, whatever the image's name. Its tag is `1`.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let last = asked.path.rsplit('/').next().expect("a path");
        let found = if last == "1" { digest(&self.page) } else { last };
        let Some((kind, bytes)) = self.blobs.get(found) else {
            return Answer::new(404, "");
        };
        let from = asked.header("range").and_then(|it| {
            it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
        });
        let answer = match from {
            Some(from) => Answer::new(206, &bytes[from..]),
            None => Answer::new(200, &**bytes),
        };
        answer.with("Content-Type", kind)
    }

    /// Writes it to a directory, as others would.
    pub fn write(&self, directory: &Path) {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("mkdir");
        for (digest, (_, bytes)) in &self.blobs {
            let name = digest.trim_start_matches("sha256:");
            fs::write(blobs.join(name), bytes).expect("a blob");
        }
        let index = json!({ "schemaVersion": 2, "manifests": [self.page] });
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(directory.join("oci-layout"), layout).expect("write");
        fs::write(directory.join("index.json"), index.to_string())
            .expect("write");
    }
}

pub fn digest(blob: &Value) -> &str {
    blob["digest"].as_str().expect("a digest")
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(vec![]);
    for (name, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        if bytes.is_empty() {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, name, "busybox").expect("tar");
        } else {
            tar.append_data(&mut header, name, *bytes).expect("tar");
        }
    }
    tar.into_inner().expect("tar")
}
