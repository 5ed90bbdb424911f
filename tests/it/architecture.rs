//! The dependency order of the rooms (`style.md` §5), read from the source text: a room names
//! only rooms declared above it in `src/lib.rs`, strangers never name each other, nothing hides
//! behind `super::` or a root re-export, every file opens with `//!` and stays readable.
//! Depends on nothing but the disk; the planted faults at the end try each rule.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms that must not name each other although the order would allow it.
const STRANGERS: [(&str, &str); 2] = [("dispatch", "intake"), ("edge", "dispatch")];
/// All that the simulators may share with the gateway: a mapping bug must not cancel itself out.
const SIM_KNOWS: [&str; 5] = ["model", "config", "telemetry", "tls", "sim"];
/// Most lines of a file, tests not counted.
const LINES: usize = 400;

#[test]
fn rooms_name_only_rooms_above_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wrong = faults(root);
    assert!(wrong.is_empty(), "{} faults of architecture:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_file_of_tests_and_benches_opens_with_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("build.rs")];
    sources(&root.join("tests"), &mut files);
    sources(&root.join("benches"), &mut files);
    let opens = |file: &PathBuf| fs::read_to_string(file).unwrap().starts_with("//!");
    let wrong: Vec<_> = files.iter().filter(|file| !opens(file)).collect();
    assert!(wrong.is_empty(), "without `//!`: {wrong:?}");
}

/// One source file, prepared for reading.
struct Source {
    /// `src/store/mod.rs`.
    name: String,
    text: String,
    /// Without comments, texts and test-only items.
    code: String,
}

fn faults(root: &Path) -> Vec<String> {
    let lib = masked(&fs::read_to_string(root.join("src/lib.rs")).unwrap());
    let rooms: Vec<String> = lib.lines().filter_map(declared).collect();
    let mut wrong = Vec::new();
    if lib.contains("pub use") {
        wrong.push("src/lib.rs re-exports a name; a room must be named by its own path".to_owned());
    }
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for file in &files {
        let source = source(root, file);
        if !source.text.starts_with("//!") {
            wrong.push(format!("{} does not open with `//!`", source.name));
        }
        let Some(room) = room_of(&source.name) else { continue };
        match rooms.iter().position(|name| *name == room) {
            Some(here) => wrong.extend(faults_of(&source, here, &rooms, is_test_only(file))),
            None => wrong.push(format!("{} is in no room of src/lib.rs", source.name)),
        }
    }
    wrong
}

fn faults_of(source: &Source, here: usize, rooms: &[String], test_only: bool) -> Vec<String> {
    if test_only {
        return Vec::new();
    }
    let (room, name) = (rooms[here].as_str(), &source.name);
    let mut wrong = Vec::new();
    for used in names_after_crate(&source.code) {
        let there = rooms.iter().position(|known| *known == used);
        let stranger = STRANGERS.contains(&(room, used.as_str()))
            || (room == "sim" && !SIM_KNOWS.contains(&used.as_str()));
        if there.is_none_or(|there| there > here) || stranger {
            wrong.push(format!("{name} uses crate::{used}"));
        }
    }
    if source.code.contains("super::") {
        wrong.push(format!("{name} uses super:: outside `mod tests`"));
    }
    let lines = source.code.lines().filter(|line| *line != GONE).count();
    if lines > LINES {
        wrong.push(format!("{name} has {lines} lines without tests; at most {LINES}"));
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// The room of `src/store/mod.rs` is `store`, that of `src/tls.rs` is `tls`.
fn room_of(name: &str) -> Option<String> {
    let inner = name.strip_prefix("src/")?;
    if matches!(inner, "lib.rs" | "main.rs") {
        return None;
    }
    let first = inner.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first).to_owned())
}

fn declared(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("pub mod ")?.strip_suffix(';')?;
    Some(name.to_owned())
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn source(root: &Path, file: &Path) -> Source {
    let text = fs::read_to_string(file).unwrap();
    let code = without_tests(&masked(&text));
    let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    Source { name, text, code }
}

/// Whether the module that declares `file` does so under `#[cfg(test)]`.
fn is_test_only(file: &Path) -> bool {
    let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap().to_str().unwrap());
    let beside = folder.with_extension("rs");
    let parents = [folder.join("mod.rs"), beside];
    parents.iter().filter_map(|parent| fs::read_to_string(parent).ok()).any(|text| {
        let code = masked(&text);
        code.split("#[cfg(test)]").skip(1).any(|after| {
            let item = after.trim_start();
            let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
            item.starts_with(&format!("mod {stem};"))
        })
    })
}

/// Every first name after `crate::`, also at the first level of `crate::{a, b::{c}}`.
fn names_after_crate(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `mycrate::` are something else.
        if code[..at]
            .ends_with(|before: char| before == '$' || before == '_' || before.is_alphanumeric())
        {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => names.push(name_at(rest)),
            Some(group) => names.extend(first_level(group)),
        }
    }
    names
}

fn first_level(group: &str) -> Vec<String> {
    let (mut depth, mut begins, mut names) = (0, true, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if depth == 0 && begins && !letter.is_whitespace() => {
                names.push(name_at(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|letter| *letter == '_' || letter.is_alphanumeric()).collect()
}

/// The code with the inside of comments, texts and characters blanked; line breaks stay.
fn masked(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = blank_from(&letters, at);
        if end == at {
            out.push(letters[at]);
            at += 1;
        } else {
            out.extend(letters[at..end].iter().map(|l| if *l == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment, text or character that begins at `at` ends; `at` when none begins there.
fn blank_from(letters: &[char], at: usize) -> usize {
    let rest = &letters[at..];
    let starts = |text: &str| text.chars().enumerate().all(|(n, l)| rest.get(n) == Some(&l));
    let until = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let found = rest[from..].windows(end.len()).position(|window| window == end);
        at + found.map_or(rest.len(), |found| from + found + end.len())
    };
    let word_before = at > 0 && (letters[at - 1] == '_' || letters[at - 1].is_alphanumeric());
    match letters[at] {
        '/' if starts("//") => at + rest.iter().position(|l| *l == '\n').unwrap_or(rest.len()),
        '/' if starts("/*") => until(2, "*/"),
        'r' if !word_before && (starts("r\"") || starts("r#")) => {
            let hashes = rest[1..].iter().take_while(|l| **l == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                until(2 + hashes, &format!("\"{}", "#".repeat(hashes)))
            } else {
                at
            }
        }
        '"' => {
            let mut n = 1;
            while n < rest.len() && rest[n] != '"' {
                n += if rest[n] == '\\' { 2 } else { 1 };
            }
            (at + n + 1).min(letters.len())
        }
        '\'' if rest.get(1) == Some(&'\\') => until(3, "'"),
        '\'' if rest.get(2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

/// A line that belonged to a test-only item.
const GONE: &str = "#gone";

/// The masked code without items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let length = item_length(item);
        out.extend(item[..length].matches('\n').map(|_| "#gone\n"));
        rest = &item[length..];
    }
    out.push_str(rest);
    out
}

/// Up to the `;` that ends the item or its closing brace.
fn item_length(item: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in item.char_indices() {
        match letter {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    item.len()
}

mod planted {
    use super::*;

    /// A small clean house, changed by `plant` before it is looked at.
    fn house(plant: impl Fn(&Path)) -> Vec<String> {
        let root = std::env::temp_dir().join(format!("tongban-rooms-{}", uuid::Uuid::new_v4()));
        let rooms = ["model", "config", "translate", "store", "intake", "dispatch", "edge", "sim"];
        fs::create_dir_all(root.join("src/store")).unwrap();
        let declared: String = rooms.iter().map(|room| format!("pub mod {room};\n")).collect();
        write(&root, "lib.rs", &format!("//! House.\n\n{declared}"));
        for room in rooms.iter().filter(|room| **room != "store") {
            write(&root, &format!("{room}.rs"), "//! Room.\nuse crate::model::Thing;\n");
        }
        let store = "//! Room. Not crate::edge.\nmod rows;\nuse crate::{model, config::{A, B}};\n\
                     const TEXT: &str = \"crate::edge super::x\";\n\
                     #[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::edge::Z;\n}\n";
        write(&root, "store/mod.rs", store);
        write(&root, "store/rows.rs", "//! Rows.\nuse crate::store::X;\n");
        plant(&root);
        let wrong = faults(&root);
        fs::remove_dir_all(&root).unwrap();
        wrong
    }

    fn write(root: &Path, name: &str, text: &str) {
        fs::write(root.join("src").join(name), text).unwrap();
    }

    fn caught(name: &str, text: &str, fault: &str) {
        let wrong = house(|root| write(root, name, text));
        assert!(wrong.iter().any(|wrong| wrong.contains(fault)), "{fault}: {wrong:?}");
    }

    #[test]
    fn a_clean_house_passes() {
        assert_eq!(house(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn an_upward_path_is_caught() {
        let code = "//! Rows.\nfn f() { crate::intake::submit() }\n";
        caught("store/rows.rs", code, "src/store/rows.rs uses crate::intake");
    }

    #[test]
    fn an_upward_name_inside_a_grouped_use_is_caught() {
        let code = "//! Rows.\nuse crate::{model::{a, b}, edge::{c, d}};\n";
        caught("store/rows.rs", code, "src/store/rows.rs uses crate::edge");
    }

    #[test]
    fn a_super_escape_is_caught() {
        let code = "//! Rows.\nuse super::secret;\n";
        caught("store/rows.rs", code, "src/store/rows.rs uses super::");
    }

    #[test]
    fn strangers_are_caught() {
        caught(
            "dispatch.rs",
            "//! R.\nuse crate::intake::X;\n",
            "src/dispatch.rs uses crate::intake",
        );
        caught("edge.rs", "//! R.\nuse crate::dispatch::X;\n", "src/edge.rs uses crate::dispatch");
        caught("sim.rs", "//! R.\nuse crate::translate::X;\n", "src/sim.rs uses crate::translate");
    }

    #[test]
    fn a_root_re_export_and_a_room_outside_the_order_are_caught() {
        caught("lib.rs", "//! H.\npub mod model;\npub use model::X;\n", "src/lib.rs re-exports");
        caught("attic.rs", "//! R.\n", "src/attic.rs is in no room");
    }

    #[test]
    fn a_file_without_its_purpose_or_too_long_is_caught() {
        caught("store/rows.rs", "use crate::store::X;\n", "does not open with `//!`");
        let long = format!("//! Rows.\n{}", "const A: u8 = 0;\n".repeat(LINES));
        caught("store/rows.rs", &long, "has 401 lines");
    }

    #[test]
    fn tests_may_be_long_and_look_up() {
        let tests = "    use crate::edge::Z;\n".repeat(LINES);
        let code = format!("//! Rows.\n#[cfg(test)]\nmod tests {{\n    use super::*;\n{tests}}}\n");
        assert_eq!(house(|root| write(root, "store/rows.rs", &code)), Vec::<String>::new());
    }
}
