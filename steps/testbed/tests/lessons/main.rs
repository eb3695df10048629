#![forbid(unsafe_code)]
//! The lessons hold: what they say that a command prints, it prints; what they
//! quote is in the source; where they point, there is something.
//!
//! `LESSONS=overwrite` puts into the files what is so today.

mod docker;
mod links;
mod page;
mod pattern;
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, ExitCode};

use docker::the_table_beside_docker_is_true;
use links::{
    glossary_entries_are_linked, links_lead_somewhere,
    links_lead_where_they_say,
};
use page::{Block, Page, all_pages};
use pattern::Bindings;
use session::Session;
use similar::TextDiff;
use testbed::{binary, checkout, needs, record};

fn main() -> ExitCode {
    testbed::run(&[
        ("front_page_commands", || commands("README.md")),
        ("runtime_commands", || commands("steps/runtime/README.md")),
        ("playground_commands", || commands("steps/playground/README.md")),
        ("attacks_commands", || commands("steps/attacks/README.md")),
        ("image_commands", || commands("steps/image/README.md")),
        ("step_01_commands", || commands("steps/01-chroot/README.md")),
        ("step_02_commands", || commands("steps/02-uts-namespace/README.md")),
        ("step_03_commands", || commands("steps/03-pid-namespace/README.md")),
        ("step_04_commands", || commands("steps/04-mount-namespace/README.md")),
        ("step_05_commands", || commands("steps/05-user-namespace/README.md")),
        ("step_06_commands", || commands("steps/06-cgroups/README.md")),
        ("step_07_commands", || commands("steps/07-overlayfs/README.md")),
        ("step_08_commands", || commands("steps/08-networking/README.md")),
        ("step_09_commands", || commands("steps/09-least-privilege/README.md")),
        ("step_10_commands", || {
            commands("steps/10-system-container/README.md")
        }),
        ("step_11_commands", || commands("steps/11-oci-runtime/README.md")),
        ("a_path_may_have_spaces", a_path_may_have_spaces),
        ("no_page_is_forgotten", no_page_is_forgotten),
        ("quoted_code_is_in_the_source", quoted_code_is_in_the_source),
        ("diffs_are_those_of_today", diffs_are_those_of_today),
        ("the_matrix_is_what_the_attacks_say", matrix),
        ("links_lead_somewhere", links_lead_somewhere),
        ("links_lead_where_they_say", links_lead_where_they_say),
        ("the_table_beside_docker_is_true", the_table_beside_docker_is_true),
        ("glossary_entries_are_linked", glossary_entries_are_linked),
        ("lessons_have_one_shape", lessons_have_one_shape),
        ("words_are_spelled_right", words_are_spelled_right),
    ])
}

fn overwrite() -> bool {
    std::env::var_os("LESSONS").is_some_and(|value| value == "overwrite")
}

/// What every page says is compared by this: equal, or put right, or told.
fn settle(page: &mut Page, changes: Vec<(std::ops::Range<usize>, String)>) {
    let new = page.with(changes);
    if new == page.text {
        return;
    }
    let diff = TextDiff::from_lines(&page.text, &new);
    let diff = diff.unified_diff().context_radius(2).to_string();
    if overwrite() {
        println!("{}: overwritten\n{diff}", page.name);
        fs::write(checkout().join(&page.name), new).expect("write the page");
    } else {
        panic!(
            "{}: this is not so (- the page says, + is so today). \
             LESSONS=overwrite puts it right.\n{diff}",
            page.name
        );
    }
}

// ── commands ────────────────────────────────────────────────────────────────

/// A command that names a place of the machine quotes it.
fn a_path_may_have_spaces() {
    let mut quoted = 0;
    for page in all_pages() {
        for block in page.blocks("console") {
            for (command, _) in block.commands(&page) {
                for place in ["$WORKSHOP_BIN", "$PWD", "$HOME"] {
                    for (at, _) in command.match_indices(place) {
                        let before = command[..at].matches('"').count();
                        assert!(before % 2 == 1, "{}: {command}", page.name);
                        quoted += 1;
                    }
                }
            }
        }
    }
    assert!(quoted > 0, "no command names a place");
}

/// Every console block of a page, in one shell, from the top to the bottom: as
/// somebody does who learns from it.
fn commands(name: &str) {
    let inside = std::env::var_os("PLAYGROUND").is_some();
    if !inside && std::env::var_os("TEST_ENVIRONMENT").is_some() {
        testbed::skip("is judged in the playground");
    }
    let mut page = Page::read(&checkout(), name);
    let mut session = Session::start(&checkout());
    let mut changes = Vec::new();
    let mut judged = Vec::new();
    for block in page.blocks("console") {
        let lack = block.words().find_map(|need| session.lacks(need));
        if lack.is_none() {
            let told = told_anew(&page, block, &mut session);
            changes.push((block.text.clone(), told));
        }
        // What can't be run everywhere is a claim of its own: a page that
        // passes without it would hide that nobody ever ran it.
        if block.words().next().is_some() {
            judged.push((format!("{name} line {}", block.line), lack));
        }
    }
    session.end();
    settle(&mut page, changes);
    for (block, lack) in judged {
        match lack {
            None => record::tell(&block, "pass", ""),
            Some(need) => {
                eprintln!("SKIP {block}: {need}");
                record::tell(&block, "skip", &need);
            }
        }
    }
}

/// A block with the output of today, where it differs from what is there.
fn told_anew(page: &Page, block: &Block, session: &mut Session) -> String {
    let mut bound = Bindings::default();
    let mut told = String::new();
    for (typed, expected) in block.commands(page) {
        let command = typed.replace("\n> ", "\n");
        let actual = session.run(&command).unwrap_or_else(|why| {
            panic!("{} line {}: {command}: {why}", page.name, block.line)
        });
        let same = pattern::matches(&expected, &actual, &mut bound);
        let output = if same { expected } else { actual };
        told += &format!("$ {typed}\n{output}");
    }
    told
}

fn no_page_is_forgotten() {
    let page = fs::read_to_string(
        checkout().join("steps/testbed/tests/lessons/main.rs"),
    );
    let list = page.expect("our own source");
    for page in all_pages() {
        if page.blocks("console").next().is_some() {
            let call = format!("commands({:?})", page.name);
            assert!(
                list.contains(&call),
                "{} is not in the list of main()",
                page.name
            );
        }
    }
}

// ── code ────────────────────────────────────────────────────────────────────

/// A block of Rust is a part of the file that the last link before it names.
fn quoted_code_is_in_the_source() {
    for mut page in all_pages() {
        let mut changes = Vec::new();
        for block in page.blocks("rust") {
            let file = page.files_before(block).pop();
            let file = file.unwrap_or_else(|| {
                panic!("{} line {}: from which file?", page.name, block.line)
            });
            let source = read(&file);
            let quoted = &page.text[block.text.clone()];
            let found = cut(&source, quoted).unwrap_or_else(|| {
                panic!(
                    "{} line {}: not in {}: quote it anew",
                    page.name,
                    block.line,
                    file.display()
                )
            });
            changes.push((block.text.clone(), found));
        }
        settle(&mut page, changes);
    }
}

/// The part of a source that begins and ends with the same lines as a quotation.
fn cut(source: &str, quoted: &str) -> Option<String> {
    if source.contains(&format!("\n{quoted}")) || source.starts_with(quoted) {
        return Some(quoted.to_owned());
    }
    let (first, last) = (quoted.lines().next()?, quoted.lines().last()?);
    let lines: Vec<_> = source.lines().collect();
    let begin = lines.iter().position(|line| *line == first)?;
    let end = begin + lines[begin..].iter().position(|line| *line == last)?;
    Some(lines[begin..=end].join("\n") + "\n")
}

/// A block of diff is that of the two files which the last links before it name:
/// the new one, then the old one.
fn diffs_are_those_of_today() {
    for mut page in all_pages() {
        let mut changes = Vec::new();
        for block in page.blocks("diff") {
            let files = page.files_before(block);
            let [.., new, old] = &files[..] else {
                panic!("{} line {}: which two files?", page.name, block.line)
            };
            let (old, new) = (read(old), read(new));
            let diff = TextDiff::from_lines(&old, &new);
            let diff = diff.unified_diff().context_radius(1).to_string();
            changes.push((block.text.clone(), diff));
        }
        settle(&mut page, changes);
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

// ── the matrix ──────────────────────────────────────────────────────────────

/// The table of attacks and steps. That it is true, the tests of the attacks
/// show.
fn matrix() {
    for (page, what, option) in [
        ("README.md", "attacks matrix", "--markdown"),
        ("steps/attacks/README.md", "again in step 10", "--again"),
    ] {
        let table = Command::new(binary("attack-matrix")).arg(option).output();
        let table = table.expect("attack-matrix").stdout;
        let table = String::from_utf8(table).expect("UTF-8");
        let begin = format!("<!-- generated: {what} -->\n");
        let mut page = Page::read(&checkout(), page);
        let (before, after) =
            page.text.split_once(&begin).expect("a place for it");
        let from = before.len() + begin.len();
        let length = after.find("<!-- end -->").expect("its end");
        settle(&mut page, vec![(from..from + length, table)]);
    }
}

// ── shape ───────────────────────────────────────────────────────────────────

/// The parts of a lesson, in their order.
const PARTS: [&str; 12] = [
    "The attack",
    "The idea",
    "The call and its rules",
    "The code",
    "Try it",
    "Look from outside",
    "What others do here",
    "The hole that is left",
    "Questions",
    "Exercises",
    "Further reading",
    "What changed since the step before",
];

/// How long one reads, as the front page says: 130 words a minute, code too.
const MINUTES: RangeInclusive<usize> = 10..=20;

fn lessons_have_one_shape() {
    let lessons = all_pages().into_iter().filter(|page| {
        page.name
            .strip_prefix("steps/")
            .is_some_and(|name| name.starts_with(['0', '1']))
    });
    let mut seen = BTreeSet::new();
    for lesson in lessons {
        let parts: Vec<_> = lesson.parts.iter().map(String::as_str).collect();
        assert_eq!(parts, PARTS, "{}", lesson.name);
        let words = lesson.text.split_whitespace().count();
        assert!(
            MINUTES.contains(&(words / 130)),
            "{}: {words} words",
            lesson.name
        );
        seen.insert(lesson.name);
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
}

fn words_are_spelled_right() {
    let codespell = needs::command("codespell");
    let root = checkout();
    let ours = ["README.md", "scripts", "steps", "slides", "exercises"];
    let output = Command::new(codespell)
        .args(["--ignore-words-list", "crate,passt"])
        // "\nd" is no word; and a test may have a wrong one on purpose.
        .args(["--ignore-regex", r"\\[nt]"])
        .args(["--skip", "*/tests,*/target,*/node_modules,*/dist,*.json"])
        .args(ours.into_iter().filter(|name| root.join(name).exists()))
        .current_dir(&root)
        .output()
        .expect("codespell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
