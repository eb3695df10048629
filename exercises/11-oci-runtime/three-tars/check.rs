//! Has the runtime of step 11 unpack the image, and looks at the files.

use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::token;

use crate::judge::look::{ensure, output, show};
use crate::judge::{Failure, Judge, how};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "three-tars",
    formerly: &[],
    step: "11-oci-runtime",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Read what the runtime says: two sums of one layer differ. Which of \
         them is in the manifest, and which in the configuration?",
        "A diff_id is the sum of the tar file before gzip: sum(tar).",
    ],
    needs: &[Need::Programs],
    errors: &[],
    wrong: &[
        Wrong {
            name: "both-before-gzip",
            change: &[("output(\"gzip\", tar)?", "output(\"cat\", tar)?")],
            hint: KIND,
        },
        Wrong {
            name: "another-kind",
            change: &[("layer.v1.tar+gzip", "layer.v1.tar")],
            hint: KIND,
        },
        Wrong {
            name: "top-first",
            change: &[
                ("diff_ids.push(", "diff_ids.insert(0, "),
                ("layers.push(", "layers.insert(0, "),
            ],
            hint: ORDER,
        },
        Wrong {
            name: "one-of-them-top-first",
            change: &[("diff_ids.push(", "diff_ids.insert(0, ")],
            hint: DIFF_ID,
        },
        Wrong {
            name: "a-size-in-blocks",
            change: &[("metadata(file)?.len()", "metadata(file)?.len() / 512")],
            hint: SIZE,
        },
        Wrong {
            name: "a-whole-digest-as-a-name",
            change: &[(
                "join(\"blobs/sha256\").join(&sum)",
                "join(format!(\"blobs/sha256/sha256:{sum}\"))",
            )],
            hint: NAME,
        },
        Wrong {
            name: "no-oci-layout",
            change: &[("join(\"oci-layout\")", "join(\"layout\")")],
            hint: FILES,
        },
    ],
    check,
};

const DIFF_ID: &str = "The manifest has the sum of what is stored, and the \
                       configuration that of the tar file. gzip stands \
                       between them, and the order of both is the same.";
const KIND: &str = "What a layer's mediaType says is what the blob is: tar, or \
                    tar+gzip. Here, each layer is packed by gzip.";
const ORDER: &str = "The first layer of a manifest is the lowest. overlayfs, \
                     in step 07, has it the other way round: the first \
                     lowerdir is the topmost.";
const SIZE: &str = "The size is that of the blob, in bytes. A runtime looks at \
                    it first: so nobody has to read what is too long anyway.";
const NAME: &str = "A blob's name in blobs/sha256 is the sum alone, in 64 \
                    digits: the directory says of which kind it is.";
const FILES: &str = "In IMAGE are a file oci-layout, a file index.json, and a \
                     directory blobs: as in the task, and by these names.";

/// A tar file of these files.
fn tar(place: &Path, files: &[(&str, &str)]) {
    let directory = place.with_extension("d");
    fs::create_dir(&directory).expect("make a directory");
    for (name, content) in files {
        fs::write(directory.join(name), content).expect("write a file");
    }
    let args = ["-C", &show(&directory), "-cf", &show(place), "."];
    output("tar", &args);
}

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (place, word) = (judge.directory(), [(); 4].map(|()| token()));
    let tars = ["1.tar", "2.tar", "3.tar"].map(|it| place.join(it));
    let image = judge.directory();
    tar(&tars[0], &[("lowest", &word[0]), ("word", &word[1]), ("gone", "")]);
    tar(&tars[1], &[("word", &word[2]), (".wh.gone", "")]);
    tar(&tars[2], &[("word", &word[3])]);
    let mut run = judge.program();
    run = run.args([&show(&image)]).args(tars.map(|it| show(&it))).start();
    let ended = run.ends()?;
    ensure(
        ended.status.success() && image.join("index.json").exists(),
        format!(
            "your program: {}; in IMAGE is: {}",
            how(ended.status),
            output("ls", &[&image]).replace('\n', ", ")
        ),
        "exit status 0, and an index.json",
        FILES,
    )?;
    let own = std::env::current_exe().expect("our own path");
    let bundle = place.join("bundle");
    let mut runtime = Command::new(own.with_file_name("11-oci-runtime"));
    // A store of its own, which goes with this place.
    runtime.env("XDG_CACHE_HOME", &place);
    let said = runtime.arg("unpack").args([&image, &bundle]).output();
    let said = said.expect("start the runtime");
    if !said.status.success() {
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        // Before its last line, it says what it begins.
        let said = said.lines().last().unwrap_or_default();
        let said = said.replace(&show(&image), "IMAGE");
        let hint = [
            ("belongs to another image", DIFF_ID),
            ("not a tar file", KIND),
            ("should have", SIZE),
            ("is missing", NAME),
        ];
        let hint = hint.iter().find(|(word, _)| said.contains(word));
        return Err(Failure::new(
            format!("the runtime says: {said}"),
            "an image",
            hint.map_or(FILES, |(_, hint)| *hint),
        ));
    }
    let layers = bundle.join("layers");
    let read = |name| fs::read_to_string(layers.join(name)).unwrap_or_default();
    let (lowest, found) = (read("1/lowest"), read("3/word"));
    ensure(
        found == word[3] && lowest == word[0] && read("2/word") == word[2],
        format!("in layers/3/word is {found}"),
        format!("{}, as in the last layer", word[3]),
        ORDER,
    )?;
    Ok(format!("three layers, and the last one's word is {found}"))
}
