//! `tongban compare` finds exactly what was planted in a pair of lists, tells all unreadable rows
//! by their lines, and shows nobody's number.

#[path = "../../benches/compare/rolls.rs"]
mod rolls;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rolls::Planted;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("compare-{name}"));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn compare(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tongban"))
        .args(["compare", "--province", "23", "--month", "2026-10"])
        .args(["--paid", "paid.csv", "--national", "national.csv"])
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The lines of an `--out` file, in the form of what was planted, and the person references.
fn differences(file: &Path) -> (Vec<Planted>, Vec<String>) {
    let text = fs::read_to_string(file).unwrap();
    let line = |text: &str| text.parse().unwrap_or(0);
    let mut people = Vec::new();
    let mut found = Vec::new();
    for row in text.lines().skip(1) {
        let fields: Vec<&str> = row.splitn(8, ',').collect();
        let kind: &'static str = fields[0].to_owned().leak();
        found.push((kind, line(fields[4]), line(fields[5]), fields[6].parse().unwrap_or(0)));
        people.push(fields[2].to_owned());
    }
    found.sort_unstable();
    (found, people)
}

#[test]
fn every_planted_difference_is_found_and_no_other() {
    let folder = folder("planted");
    let planted = rolls::write(&folder, 4000, 20).unwrap();
    let output = compare(&folder, &["--out", "out.csv", "--json"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "unreadable rows are a failure");
    assert!(told.contains("4 rows could not be read"), "{told}");

    let (found, people) = differences(&folder.join("out.csv"));
    let extra: Vec<_> = found.iter().filter(|row| !planted.contains(row)).collect();
    let lost: Vec<_> = planted.iter().filter(|row| !found.contains(row)).collect();
    assert!(extra.is_empty() && lost.is_empty(), "extra {extra:?}\nlost {lost:?}");
    assert_eq!(found, planted, "each once");
    assert!(people.iter().all(|person| person.is_empty() || person.contains("**********")));

    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in summary["kinds"].as_array().unwrap() {
        let of: Vec<_> = planted.iter().filter(|row| row.0 == kind["kind"]).collect();
        let fen: u64 = of.iter().map(|row| u64::from(row.3)).sum();
        assert_eq!(kind["count"], of.len(), "{kind}");
        assert_eq!(kind["fen"], fen, "{kind}");
        assert!(!of.is_empty(), "{kind}: not planted");
    }
    let rows = |list: &str| summary[list]["rows"].as_u64().unwrap();
    assert_eq!(summary["paid"]["unreadable"], 2);
    assert_eq!(summary["national"]["unreadable"], 2);
    assert!(rows("paid") > 3800 && rows("national") > 3900, "{summary}");
}

#[test]
fn whose_rules_were_used_is_told_and_a_configuration_that_cannot_be_read_is_an_error() {
    let folder = folder("rules");
    rolls::write(&folder, 300, 0).unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tongban.toml");
    let told = |more: &[&str]| {
        let output = compare(&folder, more);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, country) = told(&[]);
    assert!(country.contains("by the rules of the country; hardship kinds [1, 2] "), "{country}");
    for said in [
        &["--hardship", "1,2", "--nursing-extended", "2"][..],
        &["--config", repository.to_str().unwrap()],
    ] {
        let (_, told) = told(said);
        assert!(!told.contains("rules of the country"), "{told}");
    }
    let (done, missing) = told(&["--config", "none.toml"]);
    assert!(!done && missing.contains("none.toml"), "{missing}");
    // The usual one is read where it is, and must be right.
    fs::create_dir(folder.join("config")).unwrap();
    fs::write(folder.join("config/tongban.toml"), "[gateway]\nid = 1\n").unwrap();
    let (done, broken) = told(&[]);
    assert!(!done && broken.contains("config/tongban.toml"), "{broken}");
    let (_, said) = told(&["--hardship", "1,2", "--nursing-extended", "2"]);
    assert!(!said.contains("config/tongban.toml"), "nothing is left to it: {said}");
}

#[test]
fn unreadable_rows_are_told_by_line_and_without_what_they_hold() {
    let folder = folder("unreadable");
    rolls::write(&folder, 300, 1).unwrap();
    let output = compare(&folder, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    let lines: BTreeSet<&str> = told.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("paid line")).count(), 2, "{told}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("national line")).count(), 2, "{told}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("错保") && table.contains("漏保"), "{table}");
    for text in [&told, &table] {
        assert!(!text.contains("王秀英") && !text.contains("230102"), "{text}");
    }
}

#[test]
fn a_keyed_reference_is_the_same_for_one_person_only() {
    let folder = folder("keyed");
    rolls::write(&folder, 600, 3).unwrap();
    fs::write(folder.join("key"), "07".repeat(32)).unwrap();
    compare(&folder, &["--out", "a.csv", "--person", "keyed", "--key", "key"]);
    compare(&folder, &["--out", "b.csv", "--person", "keyed", "--key", "key"]);
    let (a, b) = (differences(&folder.join("a.csv")), differences(&folder.join("b.csv")));
    assert_eq!(a, b);
    let people: Vec<_> = a.1.iter().filter(|person| !person.is_empty()).collect();
    assert!(people.iter().all(|person| person.len() == 32));
    assert_eq!(people.iter().collect::<BTreeSet<_>>().len(), people.len());
    let without = compare(&folder, &["--person", "keyed"]);
    assert!(!without.status.success(), "a keyed reference needs its key");
}

#[test]
fn a_list_in_another_encoding_and_an_output_over_an_input_are_refused() {
    let folder = folder("refused");
    rolls::write(&folder, 100, 0).unwrap();
    let over = compare(&folder, &["--out", "./paid.csv"]);
    assert!(String::from_utf8_lossy(&over.stderr).contains("overwrite"));
    fs::write(folder.join("paid.csv"), b"\xd0\xd5\xc3\xfb,\xc9\xed\n").unwrap();
    let gbk = compare(&folder, &[]);
    assert!(String::from_utf8_lossy(&gbk.stderr).contains("UTF-8"));
}
