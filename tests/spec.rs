//! Every rule of SPEC.md has a test that cites it.
//!
//! A rule is an id at the begin of a list's item, `- **[Sx-n]**`. A citation is
//! the id in square brackets in a comment directly on a test function, of the
//! sources, the protocol or these tests. Whether a test checks what it cites
//! is for its reader to see; that none is forgotten is seen here.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rules that no test checks yet, and why.
const UNCOVERED: [(&str, &str); 0] = [];

/// Section and number, as in `[S9-11]`.
type Id = String;

/// The ids in square brackets in a text, in order.
fn ids(text: &str) -> Vec<Id> {
    let inside = text.split('[').skip(1);
    let inside = inside.filter_map(|rest| rest.split_once(']').map(|(inside, _)| inside));
    inside
        .filter(|inside| is_id(inside))
        .map(Id::from)
        .collect()
}

fn is_id(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.strip_prefix('S').and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(section, number)| is_number(section) && is_number(number))
}

/// The rules that a specification defines, in order.
fn defined(text: &str) -> Vec<Id> {
    let items = text.lines().filter_map(|line| line.strip_prefix("- **"));
    let ids = items.filter_map(|item| item.split_once("**").map(|(id, _)| ids(id)));
    ids.flatten().collect()
}

/// The rules that the tests of a source cite: ids in the comments directly
/// above an attribute that makes a function a test.
fn cited(source: &str) -> Vec<Id> {
    let mut cited = Vec::new();
    let mut comment = String::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("//") && !line.starts_with("//!") {
            comment.push_str(line);
            comment.push('\n');
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            let is_function = line.starts_with("fn ") || line.starts_with("async fn ");
            if is_test && is_function {
                cited.append(&mut ids(&comment));
            }
            comment.clear();
            is_test = false;
        }
    }
    cited
}

/// What is wrong with a specification and the tests of some sources (name,
/// text).
fn faults(spec: &str, sources: &[(String, String)], uncovered: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rules = BTreeSet::new();
    for id in defined(spec) {
        if !rules.insert(id.clone()) {
            faults.push(format!("[{id}] is defined twice"));
        }
    }
    let mut citations: BTreeMap<Id, &str> = BTreeMap::new();
    for (name, text) in sources {
        for id in cited(text) {
            if !rules.contains(&id) {
                faults.push(format!("{name} cites [{id}], which is no rule"));
            }
            citations.insert(id, name);
        }
    }
    for id in &rules {
        let listed = uncovered.contains(&id.as_str());
        match (citations.get(id), listed) {
            (None, false) => faults.push(format!("no test cites [{id}]")),
            (Some(name), true) => {
                faults.push(format!(
                    "[{id}] is listed as uncovered, and cited by {name}"
                ));
            }
            _ => {}
        }
    }
    for id in uncovered {
        if !rules.contains(*id) {
            faults.push(format!("[{id}] is listed as uncovered, and is no rule"));
        }
    }
    faults
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn spec() -> String {
    fs::read_to_string(root().join("SPEC.md")).unwrap()
}

/// Every Rust file of the sources, the protocol and the tests, but this one,
/// whose made-up texts look like tests.
fn sources() -> Vec<(String, String)> {
    fn below(folder: &Path, files: &mut Vec<PathBuf>) {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                below(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    for folder in ["src", "protocol/src", "protocol/tests", "tests"] {
        below(&root().join(folder), &mut files);
    }
    files.retain(|file| *file != root().join("tests/spec.rs"));
    files.sort();
    let read = |file: PathBuf| {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        (name, fs::read_to_string(file).unwrap())
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_rule_has_a_test_and_every_citation_a_rule() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} sources", sources.len());
    let uncovered = UNCOVERED.map(|(id, _)| id);
    let faults = faults(&spec(), &sources, &uncovered);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A rule is known by its place and by its word: neither is used otherwise.
#[test]
fn every_rule_says_must_and_every_id_anywhere_is_a_rule() {
    let spec = spec();
    let rules: BTreeSet<Id> = defined(&spec).into_iter().collect();
    assert!(rules.len() > 60, "only {} rules", rules.len());
    for id in ids(&spec) {
        assert!(
            rules.contains(&id),
            "[{id}] stands in the text, and is no rule"
        );
    }
    for (name, text) in sources() {
        for id in ids(&text) {
            assert!(
                rules.contains(&id),
                "{name} speaks of [{id}], which is no rule"
            );
        }
    }
    let gentle: Vec<Id> = rule_texts(&spec)
        .into_iter()
        .filter(|(_, text)| !text.contains("MUST"))
        .map(|(id, _)| id)
        .collect();
    assert!(gentle.is_empty(), "no requirements: {gentle:?}");
}

/// Each rule with its words, up to the end of its paragraph.
fn rule_texts(spec: &str) -> Vec<(Id, String)> {
    let mut rules: Vec<(Id, String)> = Vec::new();
    let mut inside = false;
    for line in spec.lines() {
        match defined(line).pop() {
            Some(id) => {
                rules.push((id, line.to_string()));
                inside = true;
            }
            None => inside &= line.starts_with("  "),
        }
        if let Some((_, text)) = rules.last_mut().filter(|_| inside) {
            text.push_str(line);
        }
    }
    rules
}

mod the_checker_itself {
    use super::*;

    const SPEC: &str = "\
# A made-up law
See [S1-2]; [not an id], [S1], [S1-x].
- **[S1-1]** A cat MUST purr, as [S1-2] says.
- **[S1-2]** A dog MUST NOT.
- [S1-3] is no rule: it is not bold.
";

    const SOURCE: &str = "\
//! [S9-9] of a file is no citation.

/// [S9-8] of another function neither.
fn helper() {}

/// [S1-1] purring.
#[test]
fn cats() {
    // [S9-7] inside of a function neither.
}

// [S1-2]
#[test]
#[ignore = \"it bites\"]
async fn dogs() {}

proptest! {
    /// [S1-1] again,
    /// [S1-2] and here.
    #[test]
    fn both(x in 0..3) {}
}

/// [S9-6] apart from the function by a line.

#[test]
fn apart() {}

/// [S9-5] of a type
#[derive(Debug)]
struct Type;
";

    fn found(spec: &str, source: &str, uncovered: &[&str]) -> Vec<String> {
        faults(spec, &[("made_up.rs".into(), source.into())], uncovered)
    }

    #[test]
    fn reads_rules_and_citations() {
        assert_eq!(defined(SPEC), ["S1-1", "S1-2"]);
        assert_eq!(cited(SOURCE), ["S1-1", "S1-2", "S1-1", "S1-2"]);
        assert!(found(SPEC, SOURCE, &[]).is_empty());
    }

    #[test]
    fn a_rule_ends_with_its_paragraph() {
        let spec = "- **[S1-1]** A cat,\n  if asked,\nMUST.\n- **[S1-2]** A dog\n  MUST.\n";
        let texts = rule_texts(spec);
        let must: Vec<bool> = texts
            .iter()
            .map(|(_, text)| text.contains("MUST"))
            .collect();
        assert_eq!(must, [false, true]);
        assert!(texts[0].1.contains("if asked"));
    }

    #[test]
    fn a_rule_that_no_test_cites_is_found() {
        let without = SOURCE.replace("[S1-2]", "S1-2");
        assert_eq!(found(SPEC, &without, &[]), ["no test cites [S1-2]"]);
        assert!(found(SPEC, &without, &["S1-2"]).is_empty());
    }

    #[test]
    fn a_citation_of_no_rule_is_found() {
        let more = SOURCE.replace("purring", "[S1-3]");
        let expected = ["made_up.rs cites [S1-3], which is no rule"];
        assert_eq!(found(SPEC, &more, &[]), expected);
    }

    #[test]
    fn a_rule_that_is_defined_twice_is_found() {
        let twice = format!("{SPEC}- **[S1-1]** It MUST.\n");
        assert_eq!(found(&twice, SOURCE, &[]), ["[S1-1] is defined twice"]);
    }

    #[test]
    fn a_list_of_the_uncovered_that_is_old_is_found() {
        let expected = ["[S1-1] is listed as uncovered, and cited by made_up.rs"];
        assert_eq!(found(SPEC, SOURCE, &["S1-1"]), expected);
        let expected = ["[S1-9] is listed as uncovered, and is no rule"];
        assert_eq!(found(SPEC, SOURCE, &["S1-9"]), expected);
    }
}
