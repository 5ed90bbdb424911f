//! Deliberately broken configurations: `tongban check` names file, line and fault, all at once, and
//! `serve` refuses to start with the same words.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::harness::{House, Plan, TONGBAN, copy, said};

const MAIN: &str = "tongban.toml";
const P23: &str = "parties/23-heilongjiang/party.toml";
const P44: &str = "parties/44-guangdong/party.toml";
const HUB: &str = "parties/national/party.toml";
const SUBSIDY_23: &str = "parties/23-heilongjiang/disability_subsidy.map.toml";
const SUBSIDY_44: &str = "parties/44-guangdong/disability_subsidy.map.toml";
const EVENT_44: &str = "parties/44-guangdong/event.map.toml";
const CHILD_HUB: &str = "parties/national/child_recognition.map.toml";

/// What is done to a file.
enum Edit {
    /// Replaces the first occurrence.
    Replace(&'static str, &'static str),
    /// Takes the file away.
    Remove,
    /// Writes the whole file, which need not be there.
    Write(&'static str),
}
use Edit::{Remove, Replace, Write};

/// Where the fault is expected.
enum Line {
    /// On the line that holds this text after the edit.
    Of(&'static str),
    /// On that line: what is missing has none of its own.
    At(usize),
}
use Line::{At, Of};

struct Broken {
    what: &'static str,
    file: &'static str,
    edit: Edit,
    line: Line,
    words: &'static [&'static str],
}

const fn broken(
    what: &'static str,
    file: &'static str,
    edit: Edit,
    line: Line,
    words: &'static [&'static str],
) -> Broken {
    Broken { what, file, edit, line, words }
}

const ALL: &[Broken] = &[
    broken(
        "an unknown setting",
        MAIN,
        Replace("[limits]", "[limits]\nbodybytes = 1"),
        Of("bodybytes"),
        &["bodybytes"],
    ),
    broken(
        "a word where a number belongs",
        MAIN,
        Replace("attempts = 40", "attempts = \"many\""),
        Of("attempts = \"many\""),
        &["invalid type", "many"],
    ),
    broken(
        "an address without its port",
        MAIN,
        Replace("edge = \"127.0.0.1:0\"", "edge = \"8443\""),
        Of("edge = \"8443\""),
        &["listen.edge", "ADDRESS:PORT"],
    ),
    broken(
        "a lease shorter than an attempt",
        MAIN,
        Replace("lease_ms = 30000", "lease_ms = 9000"),
        Of("lease_ms = 9000"),
        &["dispatch.lease_ms", "attempt_ms"],
    ),
    broken(
        "content that goes before the keys that are answered from it",
        MAIN,
        Replace("content_days = 1095", "content_days = 7"),
        Of("content_days = 7"),
        &["retention.content_days", "keys_days"],
    ),
    broken(
        "no idempotency keys",
        MAIN,
        Replace("keys_days = 30", "keys_days = 0"),
        Of("keys_days = 0"),
        &["retention.keys_days"],
    ),
    broken(
        "a store of an unknown kind",
        MAIN,
        Replace("sqlite://", "oracle://"),
        Of("oracle://"),
        &["store.url"],
    ),
    broken("TOML that is none", MAIN, Replace("[store]", "[store"), Of("[store"), &[]),
    broken(
        "a party's unknown wire",
        P23,
        Replace("wire = \"json\"", "wire = \"yaml\""),
        Of("yaml"),
        &["wire", "json", "xml"],
    ),
    broken(
        "an endpoint in the clear",
        P44,
        Replace("https://127", "http://127"),
        Of("http://127"),
        &["delivery.endpoint", "https"],
    ),
    broken(
        "a status path without its number",
        HUB,
        Replace("status_path = \"/messages/{message_number}\"", "status_path = \"/messages\""),
        Of("status_path"),
        &["status_path", "{message_number}"],
    ),
    broken(
        "a reconciliation path without its day",
        HUB,
        Replace("\"/reconciliation/{day}\"", "\"/reconciliation\""),
        Of("reconcile_path"),
        &["reconcile_path", "{day}"],
    ),
    broken(
        "two parties of one code",
        P44,
        Replace("code = \"44\"", "code = \"23\""),
        Of("code = \"23\""),
        &["code", "23", "also"],
    ),
    broken(
        "two parties for one province",
        P44,
        Replace("covers = [\"44\"]", "covers = [\"44\", \"23\"]"),
        Of("covers"),
        &["province", "23", "also"],
    ),
    broken(
        "a business nobody knows",
        P44,
        Replace("\"old_age_allowance\"", "\"divination\""),
        Of("divination"),
        &["divination"],
    ),
    broken(
        "a token algorithm that is not allowed",
        P23,
        Replace("algorithm = \"EdDSA\"", "algorithm = \"RS256\""),
        Of("RS256"),
        &["EdDSA", "ES256"],
    ),
    broken(
        "a seal nobody has",
        HUB,
        Replace("\"hmac-sha256\"", "\"crc32\""),
        Of("crc32"),
        &["seal", "hmac-sha256"],
    ),
    broken(
        "a message kind that is none",
        P23,
        Replace("\"disability_subsidy/event\"", "\"disability_subsidy/letter\""),
        Of("disability_subsidy/letter"),
        &["disability_subsidy/letter"],
    ),
    broken(
        "no way to answer the party",
        P44,
        Replace("[format.reply]", "[format.replies]"),
        Of("[format.replies]"),
        &["replies"],
    ),
    broken(
        "a canonical field that does not exist",
        SUBSIDY_23,
        Replace("canonical = \"applicant.name\"", "canonical = \"applicant.nickname\""),
        Of("applicant.nickname"),
        &["Person has no field `nickname`"],
    ),
    broken(
        "a type that does not fit",
        SUBSIDY_23,
        Replace("path = \"sqr.xm\", required = true", "path = \"sqr.xm\", type = \"bool\""),
        Of("path = \"sqr.xm\", type"),
        &["does not fit", "applicant.name"],
    ),
    broken(
        "a required field without a source",
        SUBSIDY_44,
        Replace(
            "  { canonical = \"acceptanceNumber\", path = \"Case.@no\", required = true },\n",
            "",
        ),
        At(1),
        &["required", "acceptanceNumber", "no source"],
    ),
    broken(
        "a field lost without a word",
        SUBSIDY_44,
        Replace("  { canonical = \"agent.address\", path = \"Agent.Address\" },\n", ""),
        At(1),
        &["agent.address", "lost", "drops"],
    ),
    broken(
        "two sources for one target",
        SUBSIDY_23,
        Replace("canonical = \"agent.address\"", "canonical = \"agent.phone\""),
        Of("path = \"dbr.lxdz\""),
        &["agent.phone", "has a source already at line"],
    ),
    broken(
        "two fields in one place",
        SUBSIDY_23,
        Replace("path = \"dbr.lxdz\"", "path = \"dbr.lxdh\""),
        Of("canonical = \"agent.address\""),
        &["dbr.lxdh", "written already by line"],
    ),
    broken(
        "an unknown code list",
        SUBSIDY_44,
        Replace("codes = \"hardship_kind\"", "codes = \"hardships\""),
        Of("hardships"),
        &["no list `hardships`"],
    ),
    broken(
        "an unknown key in a table",
        SUBSIDY_44,
        Replace("path = \"Applicant.IdNo\"", "path = \"Applicant.IdNo\", requird = true"),
        Of("requird"),
        &["requird"],
    ),
    broken(
        "a value of an enumeration that does not exist",
        EVENT_44,
        Replace("LAPSE", "LAPSE\", APPLICATION_LOST = \"LOST"),
        Of("APPLICATION_LOST"),
        &["EventType has no value APPLICATION_LOST"],
    ),
    broken(
        "a value without a counterpart",
        EVENT_44,
        Replace("CHECK_PASSED = \"CHECK_OK\", ", ""),
        Of("CHECK_DOUBT"),
        &["CHECK_PASSED", "no counterpart"],
    ),
    broken(
        "an example that reads otherwise",
        CHILD_HUB,
        Replace("\"acceptanceNumber\": \"", "\"acceptanceNumber\": \"X"),
        Of("[[example]]"),
        &["example", "acceptanceNumber"],
    ),
    broken(
        "a drop without a reason",
        SUBSIDY_23,
        Replace(", why = \"what", ", whi = \"what"),
        Of("whi = "),
        &["why"],
    ),
    broken(
        "a hub that is asked in the clear",
        HUB,
        Replace("[verification]\nendpoint = \"https://", "[verification]\nendpoint = \"http://"),
        Of("endpoint = \"http://"),
        &["verification.endpoint", "https://"],
    ),
    broken(
        "answers remembered for a day",
        HUB,
        Replace("cache_seconds = 60", "cache_seconds = 86400"),
        Of("cache_seconds = 86400"),
        &["verification.cache_seconds", "3600"],
    ),
    broken(
        "an unknown cipher of the handed-out key",
        HUB,
        Replace("key_cipher = \"aes-ecb\"", "key_cipher = \"aes\""),
        Of("key_cipher = \"aes\""),
        &["aes", "aes-ecb"],
    ),
    broken(
        "a service of no question",
        HUB,
        Replace("household = \"s_", "houshold = \"s_"),
        Of("houshold"),
        &["houshold"],
    ),
    broken("a table that is missing", CHILD_HUB, Remove, At(0), &["cannot be read"]),
    broken(
        "a code without a counterpart",
        "codes/hardship_kind.csv",
        Replace(",MG", ","),
        At(usize::MAX),
        &["code 3 of list `hardship_kind`", "no counterpart"],
    ),
    broken(
        "a code that stands twice",
        "codes/relation.csv",
        Replace("\n02,", "\n01,"),
        Of("户主"),
        &["`01` stands twice"],
    ),
    broken(
        "a row cut short",
        "codes/relation.csv",
        Replace("02,户主,户主", "02,户主"),
        Of("02,户主"),
        &["cells"],
    ),
    broken("a code list that is missing", "codes/sex.csv", Remove, At(usize::MAX), &["sex"]),
    broken(
        "a division of no level",
        "divisions.csv",
        Replace(",county", ",township"),
        Of(",township"),
        &["code,name,level"],
    ),
    broken(
        "a county that nobody decides for",
        "routes.toml",
        Replace(
            "from = 2010-01-01\nlevel = \"registry\"",
            "from = 2011-02-01\nlevel = \"registry\"",
        ),
        At(usize::MAX),
        &["marriage_registration has no authority in", "2010-01-01"],
    ),
    broken(
        "two authorities on one day",
        "routes.toml",
        Replace("  \"230102\",", "  \"230102\", \"230102\","),
        Of("\"230102\", \"230102\""),
        &["two authorities"],
    ),
    broken(
        "a route for no division",
        "routes.toml",
        Replace("\"230102\"", "\"239999\""),
        Of("\"239999\""),
        &["239999", "no division"],
    ),
    broken(
        "divisions that follow each other in a circle",
        "succession.csv",
        Replace(
            "2014-01-01,upgraded,230182,",
            "2013-01-01,renamed,230191,甲,230192,乙,,\n2013-06-01,renamed,230192,乙,230191,甲,,\n2014-01-01,upgraded,230182,",
        ),
        Of("230191,甲,230192"),
        &["circle"],
    ),
    broken(
        "a rule that names an unknown field",
        "rules/disability_subsidy.toml",
        Replace("!details.orphanAllowance", "!details.orphanPension"),
        Of("orphanPension"),
        &["`details.orphanPension` is no field"],
    ),
    broken(
        "a rule that always holds",
        "rules/marriage_registration.toml",
        Replace("!hub.marital.man.coolingOff", "!hub.marital.man.coolingOff || true"),
        Of("coolingOff || true"),
        &["always true", "asks nothing"],
    ),
    broken(
        "a rule that nobody can meet",
        "rules/old_age_allowance.toml",
        Replace("years(details.aliveOn, day) < 1", "years(details.aliveOn, day) >= 300"),
        Of(">= 300"),
        &["never be true", "nobody"],
    ),
    broken(
        "a rule that concerns nobody",
        "rules/social_assistance.toml",
        Replace("details.kind in ['1', '2']", "details.kind == '1' && details.kind == '2'"),
        Of("details.kind == '1' && details.kind == '2'"),
        &["`when`", "concern nobody"],
    ),
    broken(
        "a rule with a function that nobody has",
        "rules/old_age_allowance.toml",
        Replace("years(details.aliveOn, day)", "yeers(details.aliveOn, day)"),
        Of("yeers"),
        &["`yeers` is no function"],
    ),
    broken(
        "a rule about a benefit that the hub does not know",
        "rules/disability_subsidy.toml",
        Replace("b.benefit == 'work_injury'", "b.benefit == 'work_injry'"),
        Of("work_injry"),
        &["`work_injry`", "hub.benefits[].benefit"],
    ),
    broken(
        "a value that is no code",
        "rules/disability_subsidy.toml",
        Replace("living_hardship = [\"1\", \"2\"]", "living_hardship = [\"1\", \"22\"]"),
        Of("living_hardship = [\"1\", \"22\"]"),
        &["`22`", "hardship_kind"],
    ),
    broken(
        "a province's value of another type",
        "parties/44-guangdong/rules/child_recognition.toml",
        Replace("student_until = 26", "student_until = \"26\""),
        Of("student_until = \"26\""),
        &["student_until", "whole number"],
    ),
    broken(
        "a province's papers for a county of another",
        "parties/44-guangdong/rules/child_recognition.toml",
        Replace("division = \"441881\"", "division = \"511722\""),
        Of("[[materials]]"),
        &["division", "province"],
    ),
    broken(
        "a business without a rule",
        "rules/old_age_allowance.toml",
        Write("[values]\nage = 80\n"),
        At(1),
        &["no rule"],
    ),
    broken(
        "a table of rules for no business",
        "rules/disabilty_subsidy.toml",
        Write("[values]\n"),
        At(0),
        &["no table of a business"],
    ),
    broken(
        "a province's table of rules for no business",
        "parties/44-guangdong/rules/old_age.toml",
        Write("[values]\n"),
        At(0),
        &["no table of a business"],
    ),
    broken(
        "rules of a province that there is not",
        "rules/99/old_age_allowance.toml",
        Write("[values]\n"),
        At(usize::MAX),
        &["rules/99", "no code of a province"],
    ),
    broken(
        "a rule that never holds",
        "rules/marriage_registration.toml",
        Replace("from = 2021-01-01", "from = 2021-01-01\nuntil = 2020-12-31"),
        Of("until = 2020-12-31"),
        &["never holds"],
    ),
    broken(
        "a rule of a province that replaces the country's",
        "parties/44-guangdong/rules/disability_subsidy.toml",
        Replace(
            "[values]",
            "[[rule]]\nid = \"S4\"\nsource = \"x\"\nfrom = 2020-01-01\nrequire = \"details.level == '1'\"\notherwise = \"ask\"\nfield = \"disabilitySubsidy.level\"\nsays = \"x\"\n[values]",
        ),
        Of("[[rule]]"),
        &["S4", "not replace"],
    ),
    broken(
        "a holiday that is no day",
        "calendar/2026.csv",
        Replace("2026-05-01,off", "2026-05-01,free"),
        Of("2026-05-01,free"),
        &["`off` or `work`"],
    ),
];

/// The faulty lines of what a command said, `file:line: words`, and whether it exited with 1.
fn faults(config: &Path, command: &str) -> BTreeSet<String> {
    let output = Command::new(TONGBAN)
        .args([command, "--config", config.join(MAIN).to_str().unwrap()])
        .current_dir(config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{command} accepts it: {}", said(&output));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("tongban: the configuration has "), "{stderr}");
    stderr.lines().skip(1).map(str::to_owned).collect()
}

/// What is not as it should be with one broken configuration.
fn complaint(house: &House, case: &Broken) -> Option<String> {
    let config = house.root().join("broken");
    fs::remove_dir_all(&config).unwrap_or_default();
    copy(&house.root().join("config"), &config);
    let file = config.join(case.file);
    let edited = apply(&file, &case.edit);
    let told = faults(&config, "check");
    let by_serve = faults(&config, "serve");
    if told != by_serve {
        return Some(format!("check says\n{told:#?}\nand serve says\n{by_serve:#?}"));
    }
    let name = file.to_str().unwrap();
    let at = match case.line {
        Of(mark) => {
            let at = edited.lines().position(|line| line.contains(mark));
            format!("{name}:{}: ", at.unwrap_or_else(|| panic!("no line with {mark}")) + 1)
        }
        // Where the line is that of another file, the words must do.
        At(usize::MAX) => String::new(),
        At(line) => format!("{name}:{line}: "),
    };
    let fits = |line: &String| line.contains(&at) && case.words.iter().all(|w| line.contains(w));
    (!told.iter().any(fits)).then(|| format!("no `{at}…{:?}` in\n{told:#?}", case.words))
}

fn apply(file: &Path, edit: &Edit) -> String {
    match edit {
        Remove => {
            fs::remove_file(file).unwrap();
            String::new()
        }
        Write(text) => {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
            (*text).to_owned()
        }
        Replace(from, to) => {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.contains(from), "{file:?} does not hold {from}");
            let text = text.replacen(from, to, 1);
            fs::write(file, &text).unwrap();
            text
        }
    }
}

#[test]
fn every_broken_configuration_is_refused_with_file_line_and_fault() {
    const { assert!(ALL.len() >= 20) };
    let house = House::build(Plan::new());
    let complaints: Vec<String> = ALL
        .iter()
        .filter_map(|case| Some(format!("# {}\n{}", case.what, complaint(&house, case)?)))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn the_faults_of_all_files_are_told_at_once() {
    let house = House::build(Plan::new());
    let config = house.root().join("broken");
    copy(&house.root().join("config"), &config);
    let edits = [
        (MAIN, Replace("edge = \"127.0.0.1:0\"", "edge = \"8443\"")),
        (MAIN, Replace("lease_ms = 30000", "lease_ms = 9000")),
        (P44, Replace("https://127", "http://127")),
        (P23, Replace("wire = \"json\"", "wire = \"yaml\"")),
        (SUBSIDY_23, Replace("canonical = \"applicant.name\"", "canonical = \"applicant.nick\"")),
        (SUBSIDY_23, Replace("codes = \"hardship_kind\"", "codes = \"hardships\"")),
        (EVENT_44, Replace("CHECK_PASSED = \"CHECK_OK\", ", "")),
        ("divisions.csv", Replace(",county", ",township")),
    ];
    for (file, edit) in &edits {
        apply(&config.join(file), edit);
    }
    let told = faults(&config, "check");
    assert_eq!(told, faults(&config, "serve"));
    let words = [
        "listen.edge",
        "dispatch.lease_ms",
        "delivery.endpoint",
        "wire",
        "`nick`",
        "hardships",
        "CHECK_PASSED",
        "code,name,level",
    ];
    for word in words {
        assert!(told.iter().any(|line| line.contains(word)), "{word} is not told in {told:#?}");
    }
}

#[test]
fn the_committed_configuration_is_whole() {
    let house = House::build(Plan::new());
    let checked = house.command(&["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    for party in ["national", "23-heilongjiang", "44-guangdong"] {
        assert!(said(&checked).contains(party), "{}", said(&checked));
    }
    let checked = house.command(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["tables"].as_array().unwrap().len(), 21);
}

#[test]
fn the_environment_overrides_a_setting_and_is_checked_too() {
    let house = House::build(Plan::new());
    let check = |name: &str, value: &str| {
        Command::new(TONGBAN)
            .args(["check", "--config", house.config().to_str().unwrap()])
            .env(name, value)
            .output()
            .unwrap()
    };
    assert!(check("TONGBAN__LISTEN__EDGE", "127.0.0.1:9000").status.success());
    let refused = check("TONGBAN__LISTEN__EDGE", "nowhere");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("listen.edge"), "{}", said(&refused));
    let refused = check("TONGBAN__DISPATCH__ATTEMPTS", "many");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
}
