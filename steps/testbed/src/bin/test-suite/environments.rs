//! Where the claims were judged: the table of "What it runs on" in the README.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use testbed::record::ENVIRONMENT;

/// The columns of an environment: system, kernel, cgroups.
type Facts = [String; 3];

/// The environments of a run, by name.
#[derive(Default)]
pub struct Environments(BTreeMap<String, Facts>);

const BEGIN: &str = "<!-- generated: environments -->\n";
const END: &str = "<!-- end -->";
const HEAD: &str = "
| environment | system | kernel | cgroups | claims that hold |
|---|---|---|---|--:|
";

impl Environments {
    /// Finds what `scripts/test.sh` reports: one line per environment.
    pub fn read(text: &str) -> Environments {
        let lines = text.lines().filter_map(|l| l.strip_prefix(ENVIRONMENT));
        let facts = lines.filter_map(|line| {
            let fields: Vec<_> =
                line.split('\t').skip(1).map(str::to_owned).collect();
            let (name, facts) = fields.split_first()?;
            Some((name.clone(), facts.to_vec().try_into().ok()?))
        });
        Environments(facts.collect())
    }

    /// The page with the table of this run. Rows that are not for this run to
    /// judge, such as the lab's where it had none, stay as they are.
    ///
    /// # Errors
    /// If the page has no place for the table.
    pub fn put_into(
        &self,
        page: &str,
        stays: impl Fn(&str) -> bool,
        held: impl Fn(&str) -> usize,
    ) -> Result<String> {
        let (before, table, after) = parts(page)?;
        let row = |(name, facts): (&String, &Facts)| {
            let facts = facts.join(" | ");
            format!("| `{name}` | {facts} | {} |", held(name))
        };
        let old = table.lines().filter_map(|row| Some((promise(row)?.0, row)));
        let old = old.filter(|(name, _)| stays(name));
        let mut rows: BTreeMap<String, String> =
            self.0.iter().map(|it| (it.0.clone(), row(it))).collect();
        rows.extend(old.map(|(name, row)| (name, row.to_owned())));
        let rows = rows.into_values().collect::<Vec<_>>().join("\n");
        Ok(format!("{before}{BEGIN}{HEAD}{rows}\n\n{END}{after}"))
    }

    /// What the table of a page promises and this run breaks: an environment
    /// that is not there, or more claims than hold. Another machine can judge
    /// other claims; the lab, which is the same everywhere, must judge all of
    /// them.
    ///
    /// # Errors
    /// If the page has no place for the table.
    pub fn broken_promises(
        &self,
        page: &str,
        stays: impl Fn(&str) -> bool,
        held: impl Fn(&str) -> usize,
    ) -> Result<Vec<String>> {
        let (_, table, _) = parts(page)?;
        let promised: BTreeMap<_, _> =
            table.lines().filter_map(promise).collect();
        ensure!(!promised.is_empty(), "the table of environments is empty");
        let mut broken = Vec::new();
        for (name, claims) in &promised {
            match held(name) {
                _ if stays(name) => {}
                0 => broken.push(format!("{name}: nothing was judged there")),
                holds if is_lab(name) && holds < *claims => broken
                    .push(format!("{name}: {claims} claims, but {holds} hold")),
                _ => {}
            }
        }
        let unnamed =
            self.0.keys().filter(|name| !promised.contains_key(*name));
        broken.extend(unnamed.map(|name| format!("{name}: not in the table")));
        Ok(broken)
    }
}

fn is_lab(environment: &str) -> bool {
    environment.starts_with("lab-")
}

/// Before, in and after the table.
fn parts(page: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("no place for the table: {BEGIN}"))?;
    let (table, after) =
        rest.split_once(END).with_context(|| format!("no {END}"))?;
    Ok((before, table, after))
}

/// `| `name` | … | claims |`
fn promise(row: &str) -> Option<(String, usize)> {
    let cells: Vec<_> = row.trim_matches('|').split('|').collect();
    let name = cells.first()?.trim().trim_matches('`');
    Some((name.to_owned(), cells.last()?.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Environments {
        Environments::read(
            "#environment\tlab-root\tDebian 12\t6.1\tv2\nnoise\n\
             #environment\thost\tDebian 12\t6.1\tv1\n",
        )
    }

    fn page() -> String {
        let page = format!("a\n{BEGIN}| `gone` | 1 |\n{END}\nb\n");
        run().put_into(&page, |_| false, |_| 7).expect("a place")
    }

    #[test]
    fn a_table_is_made_of_a_run() {
        let page = page();
        assert!(page.starts_with("a\n") && page.ends_with("\nb\n"), "{page}");
        assert!(page.contains("| `lab-root` | Debian 12 | 6.1 | v2 | 7 |\n"));
        assert!(!page.contains("gone"), "{page}");
    }

    #[test]
    fn a_run_that_holds_what_is_promised_breaks_nothing() {
        let broken =
            run().broken_promises(&page(), |_| false, |_| 8).expect("a table");
        assert_eq!(broken, [""; 0]);
    }

    #[test]
    fn a_claim_less_in_the_lab_is_a_broken_promise() {
        let held = |name: &str| if name == "host" { 1 } else { 6 };
        let broken =
            run().broken_promises(&page(), |_| false, held).expect("a table");
        assert_eq!(broken, ["lab-root: 7 claims, but 6 hold"]);
    }

    #[test]
    fn without_the_lab_its_rows_stay() {
        let mut run = run();
        run.0.remove("lab-root");
        let held = |name: &str| if name == "host" { 9 } else { 0 };
        let page = page();
        let broken = run.broken_promises(&page, is_lab, held).expect("a table");
        assert_eq!(broken, [""; 0]);
        let anew = run.put_into(&page, is_lab, held).expect("a place");
        assert!(anew.contains("| `lab-root` | Debian 12 | 6.1 | v2 | 7 |\n"));
        assert!(anew.contains("| `host` | Debian 12 | 6.1 | v1 | 9 |\n"));
    }

    #[test]
    fn an_environment_that_is_gone_or_new_is_told() {
        let mut run = run();
        let facts = run.0.remove("host").expect("it");
        run.0.insert("new".into(), facts);
        let held = |name: &str| if name == "host" { 0 } else { 7 };
        let broken =
            run.broken_promises(&page(), |_| false, held).expect("a table");
        assert_eq!(
            broken,
            ["host: nothing was judged there", "new: not in the table"]
        );
    }
}
