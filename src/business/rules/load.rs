//! Reads the rule tables of the country and of the provinces, and compiles their rules; every fault
//! of every file with its line. What a rule may say is held against the model in `rules/rule.rs`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use cel::Env;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    business::rules::{
        Chapter, Papers, Rule, Rulebook, Stage,
        facts::Wanted,
        prove::Prover,
        rule::{Names, RuleFaults},
        values,
        walk::Walk,
    },
    model::{
        codes::Codes,
        divisions::{Divisions, Level},
        fault::Fault,
        pb::Business,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    values: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    materials: Vec<Spanned<List>>,
    #[serde(default, rename = "rule")]
    rules: Vec<Spanned<Entry>>,
}

/// Kinds of paper by rule, for the whole country or for divisions whose codes begin so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    division: String,
    source: String,
    kinds: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) from: Spanned<toml::value::Datetime>,
    pub(super) until: Option<Spanned<toml::value::Datetime>>,
    #[serde(default = "both")]
    pub(super) stages: Vec<Stage>,
    pub(super) when: Option<Spanned<String>>,
    pub(super) require: Spanned<String>,
    pub(super) otherwise: Otherwise,
    pub(super) at_decision: Option<Otherwise>,
    pub(super) field: Spanned<String>,
    pub(super) says: String,
    pub(super) asks: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Otherwise {
    Refuse,
    Ask,
}

fn both() -> Vec<Stage> {
    vec![Stage::Intake, Stage::Decision]
}

/// What is read of the country's table and of a province's beside it.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) values: BTreeMap<String, toml::Value>,
    papers: Vec<Papers>,
    rules: Vec<Arc<Rule>>,
}

/// A file that is being read.
pub(super) struct Reader<'a> {
    file: PathBuf,
    text: String,
    pub(super) codes: &'a Codes,
    faults: Vec<Fault>,
}

/// Where tables stand, and what they are read with.
struct Shelf<'a> {
    folder: &'a Path,
    /// Province codes with the folders that may hold tables of theirs.
    provinces: Vec<(String, PathBuf)>,
    codes: &'a Codes,
    prover: Prover,
    faults: Vec<Fault>,
}

impl Rulebook {
    /// Reads `rules/` of the configuration folder, its folders of provinces, and `rules/` of each
    /// province's party folder.
    ///
    /// # Errors
    /// Every fault of every file; none but the divisions' own when there are no `divisions`.
    pub fn load(
        folder: &Path,
        parties: &[(String, PathBuf)],
        codes: &Codes,
        divisions: Option<&Arc<Divisions>>,
    ) -> Result<Self, Vec<Fault>> {
        let env = Arc::new(Env::stdlib());
        let prover = Prover::new(Arc::clone(&env));
        let provinces = Vec::new();
        let mut shelf = Shelf { folder, provinces, codes, prover, faults: Vec::new() };
        shelf.look(parties, divisions);
        let mut chapters = HashMap::new();
        for business in Business::ALL {
            shelf.business(business, &mut chapters);
        }
        match divisions {
            Some(divisions) if shelf.faults.is_empty() => {
                Ok(Self { chapters, env, divisions: Arc::clone(divisions) })
            }
            _ => Err(shelf.faults),
        }
    }
}

impl Shelf<'_> {
    /// Finds the provinces' folders; a file that would be passed over is a fault.
    fn look(&mut self, parties: &[(String, PathBuf)], divisions: Option<&Arc<Divisions>>) {
        let rules = self.folder.join("rules");
        for path in entries(&rules) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_province = |divisions: &&Arc<Divisions>| {
                let entry = divisions.get(&format!("{name}0000"));
                entry.is_some_and(|entry| entry.level == Level::Province)
            };
            if !path.is_dir() {
                self.known(&path);
            } else if divisions.is_some() && divisions.filter(is_province).is_none() {
                let text = "is no code of a province: rules in it would never be asked";
                self.faults.push(Fault::new(path, 0, text));
            } else {
                self.provinces.push((name, path));
            }
        }
        let own = parties.iter().map(|(code, party)| (code.clone(), party.join("rules")));
        self.provinces.extend(own.filter(|(_, folder)| folder.is_dir()));
        for (_, folder) in self.provinces.clone() {
            entries(&folder).iter().for_each(|path| self.known(path));
        }
    }

    fn known(&mut self, path: &Path) {
        let is_table = path.extension().is_some_and(|extension| extension == "toml");
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if !is_table || stem.and_then(Business::from_code).is_none() {
            let text = "is no table of a business: its rules would never be asked";
            self.faults.push(Fault::new(path, 0, text));
        }
    }

    fn business(
        &mut self,
        business: Business,
        chapters: &mut HashMap<(Business, String), Chapter>,
    ) {
        let Some(names) = Names::of(business) else { return };
        let name = format!("{}.toml", business.code());
        let path = self.folder.join("rules").join(&name);
        let mut reader = Reader::open(path, self.codes);
        let mut base = Table::default();
        let no_table = reader.text.is_empty();
        if no_table {
            reader.say(&(0..0), "cannot be read, or is empty; every business has rules");
        } else {
            reader.table(&names, &self.prover, &mut base, "");
            if base.rules.is_empty() && reader.faults.is_empty() {
                reader.say(&(0..0), "has no rule: everybody would be eligible");
            }
        }
        self.faults.append(&mut reader.faults);
        let mut own: BTreeMap<String, Table> = BTreeMap::new();
        for (province, folder) in &self.provinces {
            let mut reader = Reader::open(folder.join(&name), self.codes);
            if reader.text.is_empty() || no_table {
                continue;
            }
            let table = own.entry(province.clone()).or_insert_with(|| base.clone());
            reader.table(&names, &self.prover, table, province);
            self.faults.append(&mut reader.faults);
        }
        chapters.insert((business, String::new()), base.chapter(&names, false));
        for (province, table) in own {
            chapters.insert((business, province), table.chapter(&names, true));
        }
    }
}

/// What a folder holds, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

impl Table {
    fn chapter(self, names: &Names, tabled: bool) -> Chapter {
        let mut wanted = Wanted::new(&names.body);
        for rule in &self.rules {
            for path in &Walk::of(rule.when.iter().chain([&rule.require])).paths {
                let path = path.replace("[]", "");
                let mut parts = path.split('.');
                let root = parts.next().unwrap_or_default();
                let parts: Vec<&str> = parts.collect();
                if let Some(message) = names.message(root) {
                    wanted.add(root, message, &parts);
                }
            }
        }
        let values = values(&self.values);
        Chapter { rules: self.rules, values, papers: self.papers, tabled, wanted }
    }

    /// The rules that ask for papers, and the kinds the whole country takes for each.
    pub(super) fn papers(&self) -> BTreeMap<String, Vec<String>> {
        self.papers.first().map(|list| list.kinds.clone()).unwrap_or_default()
    }
}

impl<'a> Reader<'a> {
    fn open(file: PathBuf, codes: &'a Codes) -> Self {
        let text = fs::read_to_string(&file).unwrap_or_default();
        Self { file, text, codes, faults: Vec::new() }
    }

    pub(super) fn say(&mut self, span: &Range<usize>, text: impl Into<String>) {
        let line = self.text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
        self.faults.push(Fault::new(self.file.clone(), line, text));
    }

    /// Adds what the file says to `table`, which for a province's holds the country's.
    fn table(&mut self, names: &Names, prover: &Prover, table: &mut Table, province: &str) {
        let file: File = match toml::from_str(&self.text) {
            Ok(file) => file,
            Err(error) => {
                let span = error.span().unwrap_or_default();
                self.say(&span, error.message().to_owned());
                return;
            }
        };
        for (name, value) in &file.values {
            self.value(name, value, table, province);
        }
        for list in &file.materials {
            self.list(list, table, province);
        }
        for entry in file.rules {
            let (span, entry) = (entry.span(), entry.into_inner());
            if table.rules.iter().any(|rule| rule.id == entry.id) {
                let text =
                    format!("rule `{}` stands already; a table may add, not replace", entry.id);
                self.say(&span, text);
                continue;
            }
            let faults = RuleFaults { reader: self, names, table, prover };
            if let Some(rule) = faults.rule(&span, entry) {
                table.rules.push(Arc::new(rule));
            }
        }
        self.codes_of_values(names, table, &file.values);
    }

    /// A province sets the values that the country's table names, each as it is there.
    fn value(
        &mut self,
        name: &str,
        value: &Spanned<toml::Value>,
        table: &mut Table,
        province: &str,
    ) {
        let (span, value) = (value.span(), value.get_ref());
        match table.values.get(name) {
            None if !province.is_empty() => {
                self.say(&span, format!("`{name}` is no value of the base table"));
                return;
            }
            Some(base) if !alike(base, value) => {
                let text = format!("`{name}` must be {}, as in the base table", kind(base));
                self.say(&span, text);
                return;
            }
            _ => {}
        }
        table.values.insert(name.to_owned(), value.clone());
    }

    fn list(&mut self, list: &Spanned<List>, table: &mut Table, province: &str) {
        let (span, list) = (list.span(), list.get_ref());
        let division = &list.division;
        let digits = division.bytes().all(|byte| byte.is_ascii_digit());
        let own = division.starts_with(province) && matches!(division.len(), 2 | 4 | 6) && digits;
        if province.is_empty() != division.is_empty() || (!division.is_empty() && !own) {
            let text =
                "`division` is a code of the province, 2, 4 or 6 digits; none for the country";
            self.say(&span, text);
        }
        if list.source.is_empty() {
            self.say(&span, "`source` must not be empty");
        }
        let known = table.papers();
        for (rule, kinds) in &list.kinds {
            if !province.is_empty() && !known.contains_key(rule) {
                self.say(&span, format!("`{rule}` asks for no papers in the base table"));
            }
            let material = self.codes.get("material");
            let strange = kinds.iter().find(|k| !material.is_some_and(|list| list.contains(k)));
            if let Some(kind) = strange {
                self.say(&span, format!("`{kind}` is no code of `material`"));
            }
        }
        table.papers.push(Papers { division: division.clone(), kinds: list.kinds.clone() });
    }

    /// What a value lists is held by rules against a path: each must be a code of that path.
    fn codes_of_values(
        &mut self,
        names: &Names,
        table: &Table,
        own: &BTreeMap<String, Spanned<toml::Value>>,
    ) {
        let walk = Walk::of(table.rules.iter().flat_map(|r| r.when.iter().chain([&r.require])));
        for (path, value) in &walk.against {
            let Some((name, value)) =
                value.strip_prefix("values.").and_then(|name| Some((name, own.get(name)?)))
            else {
                continue;
            };
            let Some(list) = names.code_list(path) else { continue };
            let texts = match value.get_ref() {
                toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_str).collect(),
                other => other.as_str().into_iter().collect::<Vec<_>>(),
            };
            let known = self.codes.get(&list);
            let strange = texts.into_iter().find(|t| !known.is_some_and(|codes| codes.contains(t)));
            if let Some(code) = strange {
                let text = format!("`{code}` of `{name}` is no code of `{list}`");
                self.say(&value.span(), text);
            }
        }
    }
}

fn kind(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::Array(_) => "a list",
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Boolean(_) => "true or false",
        _ => "a text",
    }
}

/// Whether both are of one type, and their items too where both have some.
fn alike(one: &toml::Value, other: &toml::Value) -> bool {
    let item = |value: &toml::Value| value.as_array().and_then(|items| items.first().cloned());
    let items = item(one).zip(item(other)).is_none_or(|(one, other)| alike(&one, &other));
    let all = |value: &toml::Value| {
        value.as_array().is_none_or(|all| all.iter().all(|i| kind(i) == kind(&all[0])))
    };
    kind(one) == kind(other) && items && all(one) && all(other)
}
