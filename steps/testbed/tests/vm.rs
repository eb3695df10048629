#![forbid(unsafe_code)]
//! The files for machines elsewhere, each judged as far as it can be without the
//! program that reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testbed::{Step, checkout, skip};

testbed::main!(
    cloud_init_knows_each_word_of_its_file,
    lima_knows_each_word_of_its_template,
    the_devcontainer_names_what_is_there,
);

fn text(file: &str) -> String {
    fs::read_to_string(checkout().join(file)).expect(file)
}

/// What cloud-init itself says.
fn cloud_init(file: &Path) -> Output {
    let asked = Step::script("lib/cloud-init.sh");
    let asked = asked.args(["schema", "--config-file"]).args([file]);
    let output = asked.output();
    if output.status.code() == Some(125) {
        skip("needs cloud-init, and so the lab's cache and the network once");
    }
    output
}

fn cloud_init_knows_each_word_of_its_file() {
    let file = "scripts/vm/cloud-init.yaml";
    let output = cloud_init(&checkout().join(file));
    assert!(output.status.success(), "{output:?}");

    let wrong = text(file).replace("runcmd:", "runcmds:");
    let wrong = wrong.replace("packages: [", "packages: #");
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("wrong.yaml");
    fs::write(&place, wrong).expect("write");
    let output = cloud_init(&place);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("runcmds") && said.contains("packages"), "{said}");
}

/// The fields of a template of Lima 2, those of a script in it, and when Lima
/// runs one.
const OF_LIMA: [&[&str]; 3] = [
    &[
        "minimumLimaVersion",
        "base",
        "vmType",
        "vmOpts",
        "os",
        "arch",
        "images",
        "cpus",
        "memory",
        "disk",
        "additionalDisks",
        "mounts",
        "mountType",
        "mountTypesUnsupported",
        "mountInotify",
        "ssh",
        "firmware",
        "audio",
        "video",
        "provision",
        "upgradePackages",
        "containerd",
        "probes",
        "guestInstallPrefix",
        "portForwards",
        "copyToHost",
        "message",
        "networks",
        "env",
        "param",
        "dns",
        "hostResolver",
        "propagateProxyEnv",
        "caCerts",
        "plain",
        "timezone",
        "nestedVirtualization",
        "user",
    ],
    &["mode", "script"],
    &["boot", "dependency", "system", "user"],
];

fn lima_knows_each_word_of_its_template() {
    let template = text("scripts/vm/lima.yaml");
    let (mut script, mut list) = (String::new(), "");
    for line in template.lines().filter(|line| !line.starts_with('#')) {
        if let Some(line) = line.strip_prefix("      ") {
            script += &format!("{line}\n");
            continue;
        }
        let (field, value) = line.split_once(':').expect("a field");
        let is_own = !field.starts_with(' ');
        let name = field.trim_start_matches([' ', '-']);
        let known = OF_LIMA[usize::from(!is_own)];
        assert!(known.contains(&name), "{line}");
        assert!(is_own || list == "provision", "{line}");
        if is_own {
            list = name;
        }
        match name {
            "mode" => assert!(OF_LIMA[2].contains(&value.trim()), "{line}"),
            // Lima takes three numbers, and no fewer.
            "minimumLimaVersion" => {
                let numbers =
                    value.split('.').map(|it| it.trim().parse::<u8>());
                assert_eq!(numbers.filter(Result::is_ok).count(), 3, "{line}");
            }
            _ => {}
        }
    }
    assert!(script.starts_with("#!/bin/sh\n"), "{script}");
    let checked = Command::new("sh").args(["-n", "-c", &script]).output();
    let checked = checked.expect("sh");
    assert!(checked.status.success(), "{checked:?}");
    for file in ["./scripts/vm/lima.yaml", "./scripts/vm/begin.sh"] {
        assert!(template.contains(file) && text("README.md").contains(file));
        assert!(checkout().join(file).exists(), "{file}");
    }
}

/// The settings of a devcontainer that is built from a file.
const OF_A_DEVCONTAINER: [&[&str]; 2] = [
    &["name", "build", "remoteUser", "privileged", "postCreateCommand"],
    &["dockerfile", "context", "args", "target"],
];

fn the_devcontainer_names_what_is_there() {
    let place = PathBuf::from(".devcontainer");
    let settings = text(".devcontainer/devcontainer.json");
    // JSON with comments, as its reader takes it.
    let is_json = |line: &&str| !line.trim_start().starts_with("//");
    let json: String = settings.lines().filter(is_json).collect();
    let settings: serde_json::Value =
        serde_json::from_str(&json).expect("JSON with comments");
    for (object, known) in
        [&settings, &settings["build"]].into_iter().zip(OF_A_DEVCONTAINER)
    {
        for name in object.as_object().expect("an object").keys() {
            assert!(known.contains(&name.as_str()), "{name}");
        }
    }
    let build = settings["build"]["dockerfile"].as_str().expect("a file");
    let build = text(&place.join(build).display().to_string());
    let user = settings["remoteUser"].as_str().expect("a user");
    assert!(build.contains("useradd ") && build.contains(user), "{build}");
    assert!(build.contains(&format!("\nUSER {user}\n")), "{build}");
    // Steps need all that a host's root has.
    assert_eq!(settings["privileged"], true);
    let command = settings["postCreateCommand"].as_str().expect("a command");
    for words in command.split(" && ") {
        let program = words.split(' ').next().expect("a word");
        let is_ours = checkout().join(program).exists();
        assert!(is_ours || build.contains(program), "{program}");
    }
}
