//! three-tars IMAGE TAR TAR TAR
//!
//! Makes an image of tar files, the lowest layer first.

use std::fs::{create_dir_all, metadata, rename, write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let image = args.next().context("IMAGE is missing")?;
    let image = Path::new(&image);
    create_dir_all(image.join("blobs/sha256")).context("make blobs")?;

    let (new, mut layers, mut diff_ids) = (image.join("new"), vec![], vec![]);
    for tar in args {
        let tar = Path::new(&tar);
        write(&new, output("gzip", tar)?).context("write a layer")?;
        diff_ids.push(format!("\"sha256:{}\"", sum(tar)?));
        layers.push(blob(image, "layer.v1.tar+gzip", &new)?);
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = format!(
        r#"{{
  "os": "linux", "architecture": "{architecture}",
  "rootfs": {{ "type": "layers", "diff_ids": [ {} ] }}
}}"#,
        diff_ids.join(", ")
    );
    write(&new, config).context("write the configuration")?;
    let config = blob(image, "config.v1+json", &new)?;
    let layers = layers.join(", ");
    let manifest = format!(
        r#"{{ "schemaVersion": 2, "config": {config}, "layers": [ {layers} ] }}"#
    );
    write(&new, manifest).context("write the manifest")?;
    let manifest = blob(image, "manifest.v1+json", &new)?;
    let index =
        format!(r#"{{ "schemaVersion": 2, "manifests": [ {manifest} ] }}"#);
    write(image.join("index.json"), index).context("write index.json")?;
    let layout = r#"{ "imageLayoutVersion": "1.0.0" }"#;
    write(image.join("oci-layout"), layout).context("write oci-layout")
}

/// Gives a file the name of a blob. Returns what others say of it.
fn blob(image: &Path, kind: &str, file: &Path) -> anyhow::Result<String> {
    let (sum, size) = (sum(file)?, metadata(file)?.len());
    rename(file, image.join("blobs/sha256").join(&sum)).context("rename")?;
    let kind = format!("application/vnd.oci.image.{kind}");
    Ok(format!(
        r#"{{ "mediaType": "{kind}", "digest": "sha256:{sum}", "size": {size} }}"#
    ))
}

/// The sum of a file's content, in 64 digits.
fn sum(file: &Path) -> anyhow::Result<String> {
    let line = String::from_utf8(output("sha256sum", file)?)?;
    Ok(line.chars().take(64).collect())
}

/// What a program makes of a file.
fn output(program: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(file).context("open")?;
    let mut program = Command::new(program);
    let output = program.stdin(file).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{program:?}: {}", output.status);
    Ok(output.stdout)
}
