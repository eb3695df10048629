//! config-json BUNDLE NAME COMMAND ARG...
//!
//! Writes BUNDLE/config.json, so that a runtime can make a container of it.

use std::path::Path;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let bundle = args.next().context("BUNDLE is missing")?;
    let name = args.next().context("NAME is missing")?;
    let command: Vec<String> = args.collect();

    let namespaces = ["user", "mount", "uts", "pid"];
    let mounts =
        r#"{ "destination": "/proc", "type": "proc", "source": "proc" }"#;

    let namespaces = namespaces.map(|kind| format!("{{ \"type\": {kind:?} }}"));
    let namespaces = namespaces.join(", ");
    let config = format!(
        r#"{{
  "ociVersion": "1.0.2",
  "root": {{ "path": "rootfs", "readonly": true }},
  "hostname": {name:?},
  "process": {{
    "user": {{ "uid": 0, "gid": 0 }},
    "args": {command:?},
    "env": ["PATH=/bin:/usr/bin"],
    "cwd": "/"
  }},
  "mounts": [ {mounts} ],
  "linux": {{
    "namespaces": [ {namespaces} ],
    "uidMappings": [ {{ "containerID": 0, "hostID": 0, "size": 1 }} ],
    "gidMappings": [ {{ "containerID": 0, "hostID": 0, "size": 1 }} ]
  }}
}}
"#
    );
    let file = Path::new(&bundle).join("config.json");
    std::fs::write(file, config).context("write config.json")?;
    Ok(())
}
