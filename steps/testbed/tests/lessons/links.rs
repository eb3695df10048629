//! Links lead somewhere, and where their text says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use testbed::checkout;

use crate::page::{Link, Page, all_pages, slug};

/// Where links may lead: places that stay.
const HOSTS: [&str; 14] = [
    "man7.org",
    "docs.kernel.org",
    "lwn.net",
    "nvd.nist.gov",
    "www.rfc-editor.org",
    "www.freedesktop.org",
    "github.com",
    "docs.docker.com",
    "docs.podman.io",
    "wiki.nftables.org",
    "www.cni.dev",
    "passt.top",
    "rustup.rs",
    "systemd.io",
];

/// Texts that are no name of their target, and the end of where they lead.
const OTHERWISE: [(&str, &str); 21] = [
    ("how", "exercises/README.md"),
    ("front page", "README.md#what-stops-what"),
    ("lab", "README.md#what-it-runs-on"),
    ("recording", "slides/casts"),
    ("its manual page", "/pivot_root.2.html"),
    ("fchdir(2)", "/chdir.2.html"),
    ("pasta", "https://passt.top"),
    ("multiple lower layers", "/overlayfs.html"),
    ("whiteouts", "/overlayfs.html"),
    ("Publish", "#published-port"),
    ("/proc", "#procfs"),
    ("/sys", "#sysfs"),
    ("abstract", "#abstract-socket"),
    ("attributes", "#extended-attribute"),
    ("capabilities", "#capability"),
    ("copies the file up", "#copy-up"),
    ("device", "#device-node"),
    ("engines", "#container-engine"),
    ("map", "#id-map"),
    ("opaque", "#opaque-directory"),
    ("Apache 2.0", "LICENSE-APACHE"),
];

pub fn links_lead_somewhere() {
    let root = checkout();
    let mut dead = Vec::new();
    let mut count = (0, 0);
    for page in all_pages() {
        for link in &page.links {
            let fault = match link.to.split_once("://") {
                Some((scheme, rest)) => {
                    count.1 += 1;
                    let host =
                        rest.split(['/', '#', '?']).next().unwrap_or_default();
                    let stays = scheme == "https" && HOSTS.contains(&host);
                    (!stays)
                        .then(|| "no place that stays: see HOSTS".to_owned())
                }
                None => {
                    count.0 += 1;
                    inside(&root, &page, &link.to)
                }
            };
            dead.extend(fault.map(|fault| tell(&page, link, &fault)));
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    println!("{} links within the repository, {} to outside", count.0, count.1);
}

fn tell(page: &Page, link: &Link, fault: &str) -> String {
    let Link { line, text, to } = link;
    format!("{} line {line}: [{text}]({to}): {fault}", page.name)
}

/// What is wrong with a link within the repository, if anything is.
fn inside(root: &Path, page: &Page, link: &str) -> Option<String> {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => root.join(&page.name),
        path => page.directory(root).join(path),
    };
    if !target.exists() {
        return Some("nothing is there".into());
    }
    if fragment.is_empty() {
        return None;
    }
    if target.extension().is_none_or(|e| e != "md") {
        return Some("only a page has headings".into());
    }
    let name = without_dots(target.strip_prefix(root).ok()?);
    let slugs = Page::read(root, &name).headings;
    let there = slugs.iter().any(|heading| slug(heading) == fragment);
    (!there).then(|| "no such heading there".into())
}

fn without_dots(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            part => parts.push(part.as_os_str().to_string_lossy().into_owned()),
        }
    }
    parts.join("/")
}

/// What their text names: a step, a file, an exercise, a word of the glossary, a
/// manual page. That of a site elsewhere shares a word with its address; LWN's
/// addresses are numbers, and can't be judged offline.
pub fn links_lead_where_they_say() {
    let root = checkout();
    let (mut astray, mut used) = (Vec::new(), BTreeSet::new());
    for page in all_pages() {
        for link in &page.links {
            let target = target(&root, &page, &link.to);
            used.extend(otherwise(&link.text, &target));
            if !says(&root, &page, link, &target) {
                astray.push(tell(&page, link, "its text says otherwise"));
            }
        }
    }
    assert!(astray.is_empty(), "{}", astray.join("\n"));
    assert_eq!(used.len(), OTHERWISE.len(), "only these are used: {used:?}");
}

/// Where a link leads, from the checkout on.
fn target(root: &Path, page: &Page, link: &str) -> String {
    let Some((path, heading)) = link.split_once('#') else {
        return match link.contains("://") {
            true => link.to_owned(),
            false => without_dots(&directory(root, page).join(link)),
        };
    };
    let path = match path {
        "" => page.name.clone(),
        path if path.contains("://") => path.to_owned(),
        path => without_dots(&directory(root, page).join(path)),
    };
    format!("{path}#{heading}")
}

fn directory(root: &Path, page: &Page) -> std::path::PathBuf {
    let directory = page.directory(root);
    directory.strip_prefix(root).expect("below the checkout").to_owned()
}

fn otherwise(text: &str, target: &str) -> Option<usize> {
    let is =
        |(words, end): &(&str, &str)| *words == text && target.ends_with(end);
    OTHERWISE.iter().position(is)
}

fn says(root: &Path, page: &Page, link: &Link, target: &str) -> bool {
    let text = link.text.as_str();
    if otherwise(text, target).is_some()
        || target.contains("//lwn.net/")
        || link.is_picture()
    {
        return true;
    }
    let words: Vec<_> = text.split([' ', '/', ',']).collect();
    if let [.., "step" | "Step", number] = words[..] {
        return target.starts_with(&format!("steps/{number}-"));
    }
    if text == "the next step" {
        return Page::number(target) == Page::number(&page.name) + 1;
    }
    if let Some((_, word)) = target.split_once("GLOSSARY.md#") {
        let named = slug(text.split('(').next().unwrap_or(text));
        return [Some(&*named), named.strip_suffix('s')].contains(&Some(word));
    }
    // name(section)
    if let Some((name, section)) =
        text.strip_suffix(')').and_then(|it| it.split_once('('))
    {
        let man7 = target.ends_with(&format!("/{name}.{section}.html"));
        return man7 || target.ends_with(&format!("/{name}.html"));
    }
    if words.len() == 1 && text.contains('.') && !text.ends_with('.') {
        let devices = text.trim_end_matches(".txt");
        return target.ends_with(&format!("/{text}"))
            || target.ends_with(&format!("/{devices}.html"));
    }
    // An exercise: its name, or its title.
    if target.ends_with("/task.md") {
        let task = fs::read_to_string(root.join(target)).unwrap_or_default();
        let title = task.lines().next().unwrap_or_default();
        return title == format!("# {text}")
            || target.ends_with(&format!("/{text}/task.md"));
    }
    let number = text.split_once('-').map(|(number, _)| number);
    if number.is_some_and(|it| it.parse::<u32>().is_ok()) {
        return target == format!("steps/{text}/README.md");
    }
    let address = target.to_lowercase();
    let word_is_there = |word: &&str| {
        let word = word.to_lowercase();
        let word = word.trim_end_matches('s');
        word.len() > 2 && address.contains(word)
    };
    let numbers =
        words.iter().filter(|it| it.contains(|c: char| c.is_ascii_digit()));
    numbers.clone().all(|it| address.contains(&it.to_lowercase()))
        && words.iter().any(word_is_there)
}

/// A word that no lesson leads to is not a word of the course.
pub fn glossary_entries_are_linked() {
    let root = checkout();
    let pages = all_pages();
    let links: BTreeSet<_> = pages
        .iter()
        .flat_map(|page| &page.links)
        .filter_map(|link| link.to.split_once("GLOSSARY.md#"))
        .map(|(_, slug)| slug)
        .collect();
    let entries = Page::read(&root, "steps/GLOSSARY.md").entries;
    let never: Vec<_> =
        entries.iter().filter(|entry| !links.contains(&*slug(entry))).collect();
    assert!(never.is_empty(), "never linked: {never:?}");
}
