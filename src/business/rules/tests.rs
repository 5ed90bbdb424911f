//! The decision table of every rule: one line each where it holds, where it is broken, where what
//! it needs is missing; and the faults of tables, each with its line.

use std::path::Path;

use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::*;
use crate::model::{DESCRIPTORS, codes::Codes};

fn config() -> &'static Path {
    static CONFIG: std::sync::LazyLock<std::path::PathBuf> =
        std::sync::LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("config"));
    &CONFIG
}

fn book() -> Rulebook {
    let party = |code: &str, folder: &str| (code.to_owned(), config().join("parties").join(folder));
    let provinces = [party("23", "23-heilongjiang"), party("44", "44-guangdong")];
    let codes = Codes::load(&config().join("codes")).unwrap();
    Rulebook::load(config(), &provinces, &codes, Some(&divisions())).unwrap()
}

fn divisions() -> Arc<Divisions> {
    Arc::new(Divisions::load(&config().join("divisions.csv")).unwrap())
}

/// An application of which every rule holds.
fn sound(business: Business) -> Value {
    let spouse = |sex: &str, birth: &str, status: &str| {
        let number = ["440524188001010014", "11010519491231002X"][usize::from(sex == "2")];
        let person = json!({"name": "王", "residentId": number, "birthDate": birth, "sex": sex});
        json!({"person": person, "maritalStatus": status})
    };
    let person = |birth: &str| json!({"name": "王", "birthDate": birth});
    let (applicant, name, body) = match business {
        Business::MarriageRegistration => (
            None,
            "marriageRegistration",
            json!({
            "operation": "IA", "registrationDate": "2026-11-23", "bothPresent": true,
            "declarationSha256": "x",
            "man": spouse("1", "2004-11-23", "10"), "woman": spouse("2", "2006-11-23", "40")}),
        ),
        Business::DivorceRegistration => (
            None,
            "divorceRegistration",
            json!({
            "man": spouse("1", "1980-01-01", "20"), "woman": spouse("2", "1980-01-01", "20"),
            "bothPresent": true, "bothCapable": true, "registeredInChina": true,
            "agreementOnChildren": true, "agreementOnProperty": true}),
        ),
        Business::DisabilitySubsidy => (
            Some(person("1980-01-01")),
            "disabilitySubsidy",
            json!({
            "subsidyKind": "3", "level": "1", "category": "4", "certificateValidTo": "2026-11-23",
            "hardshipKind": "1", "otherAllowance": "0", "longTermCare": true,
            "extremelyPoorSupport": false, "workInjuryNursingFee": false,
            "orphanAllowance": false, "childAllowance": false}),
        ),
        Business::ChildRecognition => (
            Some(person("2008-11-24")),
            "childRecognition",
            json!({
            "childKind": "1", "householdKind": "1", "academicStatus": "50",
            "father": {"circumstance": "01", "proof": "201"},
            "mother": {"circumstance": "02", "proof": "202"}}),
        ),
        Business::OldAgeAllowance => (
            Some(person("1946-11-23")),
            "oldAgeAllowance",
            json!({
            "action": "1", "ageBand": "1", "otherAllowance": "0", "aliveOn": "2026-11-01"}),
        ),
        Business::SocialAssistance => (
            Some(person("1980-01-01")),
            "socialAssistance",
            json!({
            "kind": "1", "monthlyIncomeFen": "160000", "savingsFen": "4000000",
            "members": [{"name": "王", "residentId": "x", "relation": "10"}]}),
        ),
        Business::Unspecified => unreachable!(),
    };
    let mut application = json!({
        "business": business.as_str_name(), "source": "WINDOW",
        "acceptingDivision": "510104", "homeDivision": "510104001", (name): body});
    if let Some(applicant) = applicant {
        application["applicant"] = applicant;
    }
    let papers = [
        "111", "111", "113", "122", "123", "201", "202", "302", "307", "311", "321", "401", "601",
        "602",
    ];
    application["materials"] = papers.iter().map(|kind| json!({"kind": kind})).collect();
    application
}

/// What the hub tells of the people of a sound application.
fn told(business: Business) -> Value {
    let couple = |married: bool, hers: bool| {
        json!({"man": {"married": married, "divorced": false, "coolingOff": false},
               "woman": {"married": married, "divorced": hers, "coolingOff": false},
               "toEachOther": married})
    };
    let benefits = match business {
        Business::DisabilitySubsidy => {
            json!([{"benefit": "dibao", "active": true, "division": "510104"}])
        }
        _ => json!([]),
    };
    json!({
        "marital": couple(business == Business::DivorceRegistration, business == Business::MarriageRegistration),
        "benefits": benefits,
        "certificate": {"valid": true, "category": "4", "level": "1"},
        "household": {"division": "510104", "alive": true}
    })
}

fn facts(hub: &Value) -> Facts {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let truth = |value: &Value| value == true;
    let marital = |who: &Value| Marital {
        married: truth(&who["married"]),
        divorced: truth(&who["divorced"]),
        cooling_off: truth(&who["coolingOff"]),
    };
    Facts {
        marital: hub.get("marital").map(|m| Couple {
            man: marital(&m["man"]),
            woman: marital(&m["woman"]),
            to_each_other: truth(&m["toEachOther"]),
        }),
        benefits: hub.get("benefits").map(|list| {
            let one = |b: &Value| Benefit {
                benefit: text(&b["benefit"]),
                division: text(&b["division"]),
                active: truth(&b["active"]),
                last_paid_month: text(&b["lastPaidMonth"]),
            };
            list.as_array().unwrap().iter().map(one).collect()
        }),
        certificate: hub.get("certificate").map(|c| Certificate {
            valid: truth(&c["valid"]),
            category: text(&c["category"]),
            level: text(&c["level"]),
        }),
        household: hub
            .get("household")
            .map(|h| Household { division: text(&h["division"]), alive: truth(&h["alive"]) }),
    }
}

fn content(application: &Value) -> Vec<u8> {
    let descriptor = DESCRIPTORS.get_message_by_name("tongban.v1.Application").unwrap();
    DynamicMessage::deserialize(descriptor, application).unwrap().encode_to_vec()
}

/// Sets, or with `null` removes, what stands at a dotted path.
fn set(document: &mut Value, path: &str, value: &Value) {
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = document;
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        at = &mut at[part];
    }
    let object = at.as_object_mut().unwrap_or_else(|| panic!("{path}"));
    match value {
        Value::Null => drop(object.remove(name)),
        value => drop(object.insert(name.to_owned(), value.clone())),
    }
}

const TODAY: Date = jiff::civil::date(2026, 11, 23);

fn judge(
    (book, stage): (&Rulebook, Stage),
    application: &Value,
    hub: Option<&Value>,
    dated: Date,
) -> Vec<Finding> {
    let bytes = content(application);
    let decoded = pb::Application::decode(&*bytes).unwrap();
    let division = match decoded.business() {
        Business::MarriageRegistration | Business::DivorceRegistration => {
            &decoded.accepting_division
        }
        _ => &decoded.home_division,
    };
    let hub = hub.map(facts);
    let days = Days::new(dated, TODAY);
    book.judge((stage, division), &decoded, &bytes, days, hub.as_ref())
}

/// What a line of the table says of a rule; what is asked of a person is `missing` where data was
/// taken away.
fn answer(findings: &[Finding], rule: &str, taken: bool) -> &'static str {
    match findings.iter().find(|finding| finding.rule == rule).map(|finding| &finding.answer) {
        None => "ok",
        Some(Answer::Refuse) => "refuse",
        Some(Answer::Ask(AskedOf::Hub)) => "hub",
        Some(Answer::Ask(_)) if taken => "missing",
        Some(Answer::Ask(_)) => "ask",
    }
}

/// The stages of a cell.
fn stages(cell: &str) -> &'static [Stage] {
    match cell {
        "both" => &[Stage::Intake, Stage::Decision],
        "intake" => &[Stage::Intake],
        "decision" => &[Stage::Decision],
        other => panic!("{other} is no stage"),
    }
}

const TABLE: &str = include_str!("table.txt");

/// Line number and cells.
fn lines() -> impl Iterator<Item = (usize, [&'static str; 5])> {
    TABLE.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(
        |(number, line)| {
            let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
            (number + 1, <[&str; 5]>::try_from(cells).unwrap_or_else(|_| panic!("{line}")))
        },
    )
}

#[test]
fn the_decision_table_of_every_rule() {
    let book = book();
    let mut wrong = Vec::new();
    for (number, [rule, business, at, changes, expected]) in lines() {
        let business = Business::from_code(business).unwrap();
        let (mut application, mut hub) = (sound(business), told(business));
        let (mut dated, mut taken) = (TODAY, false);
        for change in changes.split(';').map(str::trim).filter(|change| !change.is_empty()) {
            let (path, value) = change.split_once('=').unwrap();
            let value: Value = serde_json::from_str(value).unwrap_or_else(|_| panic!("{change}"));
            taken |= value.is_null();
            match path.strip_prefix("hub.") {
                _ if path == "dated" => dated = value.as_str().unwrap().parse().unwrap(),
                Some(path) => set(&mut hub, path, &value),
                None => set(&mut application, path, &value),
            }
        }
        for stage in stages(at) {
            let findings = judge((&book, *stage), &application, Some(&hub), dated);
            let said = answer(&findings, rule, taken);
            if said != expected {
                wrong.push(format!("table.txt:{number} {rule} {stage:?}: {said}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_tried_at_each_stage_holding_broken_and_with_its_data_missing() {
    let mut untried = Vec::new();
    for (business, _, rule) in book().list() {
        for stage in &rule.stages {
            let own = |[id, of, at, ..]: &[&str; 5]| {
                *id == rule.id && *of == business.code() && stages(at).contains(stage)
            };
            let answers: Vec<&str> =
                lines().map(|(_, cells)| cells).filter(own).map(|cells| cells[4]).collect();
            let broken = if rule.refused_at.contains(stage) { "refuse" } else { "ask" };
            for (wanted, tried) in [
                ("ok", answers.contains(&"ok")),
                (broken, answers.contains(&broken)),
                ("missing", answers.iter().any(|answer| ["missing", "hub"].contains(answer))),
            ] {
                if !tried {
                    untried.push(format!("{} {} {stage:?}: {wanted}", business.code(), rule.id));
                }
            }
        }
    }
    assert!(untried.is_empty(), "{}", untried.join("\n"));
}

#[test]
fn a_sound_application_meets_every_rule_of_every_province() {
    let book = book();
    for business in Business::ALL {
        for home in ["510104001", "230103", "440305", "110101", "441881"] {
            let (mut application, mut hub) = (sound(business), told(business));
            application["homeDivision"] = home.into();
            application["acceptingDivision"] = home.into();
            hub["household"]["division"] = home[..6].into();
            for stage in [Stage::Intake, Stage::Decision] {
                let mut findings = judge((&book, stage), &application, Some(&hub), TODAY);
                // The one county here with papers of its own.
                findings.retain(|finding| home != "441881" || finding.rule != "W6");
                assert_eq!(findings, [], "{business:?} {home} {stage:?}");
            }
        }
    }
}

#[test]
fn nobody_escapes_a_rule_by_an_old_date() {
    let book = book();
    let child = sound(Business::ChildRecognition);
    let at = |dated: &str| {
        let mut grown = child.clone();
        grown["applicant"]["birthDate"] = "2008-06-01".into();
        let hub = told(Business::ChildRecognition);
        let found = judge((&book, Stage::Intake), &grown, Some(&hub), dated.parse().unwrap());
        answer(&found, "C1", false)
    };
    // Eighteen on 2026-06-01: a paper case is judged for at most 90 days before 2026-11-23.
    assert_eq!([at("2026-05-31"), at("2020-01-01"), at("2000-01-01")], ["refuse"; 3]);
    let mut early = child.clone();
    early["applicant"]["birthDate"] = "2008-08-26".into();
    let hub = told(Business::ChildRecognition);
    let found = judge((&book, Stage::Intake), &early, Some(&hub), jiff::civil::date(2026, 1, 1));
    assert_eq!(answer(&found, "C1", false), "ok", "17 on 2026-08-25, the day it is judged for");
    // No date, however old, is before the rules.
    let subsidy = sound(Business::DisabilitySubsidy);
    let mut rich = subsidy.clone();
    rich["disabilitySubsidy"]["hardshipKind"] = "5".into();
    let hub = told(Business::DisabilitySubsidy);
    let found = judge((&book, Stage::Intake), &rich, Some(&hub), jiff::civil::date(2005, 1, 1));
    assert_eq!(answer(&found, "S1", false), "refuse");
}

#[test]
fn a_rule_holds_from_its_day_and_a_silent_hub_is_never_an_ok() {
    let book = book();
    let bytes = content(&sound(Business::MarriageRegistration));
    let decoded = pb::Application::decode(&*bytes).unwrap();
    let judged = |today: Date, hub: Option<&Facts>| {
        book.judge((Stage::Intake, "510104"), &decoded, &bytes, Days::new(today, today), hub)
    };
    let hub = |found: Vec<Finding>| -> Vec<Finding> {
        found.into_iter().filter(|one| one.answer == Answer::Ask(AskedOf::Hub)).collect()
    };
    let silent = hub(judged(TODAY, None));
    let asked: Vec<&str> = silent.iter().map(|finding| &*finding.rule).collect();
    assert_eq!(asked, ["M2c", "M2d", "M2e", "M2f", "M2g", "M2h"]);
    assert!(silent.iter().all(|finding| finding.topics == [Topic::Marital]));
    assert!(silent.iter().all(|one| one.says.starts_with("请核实")), "no fact that nobody told");
    assert_eq!(hub(judged(TODAY, Some(&Facts::default()))).len(), 6);
    // Before Decree 804 of 2025 the library was not asked.
    assert_eq!(hub(judged(jiff::civil::date(2025, 5, 9), None)).len(), 2);
}

/// Line and text of the faults of one base table.
fn faults(table: &str) -> Vec<(usize, String)> {
    let folder = std::env::temp_dir().join(format!("tongban-rules-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(folder.join("rules")).unwrap();
    for business in Business::ALL {
        let name = format!("{}.toml", business.code());
        std::fs::copy(config().join("rules").join(&name), folder.join("rules").join(&name))
            .unwrap();
    }
    std::fs::write(folder.join("rules/disability_subsidy.toml"), table).unwrap();
    let codes = Codes::load(&config().join("codes")).unwrap();
    let loaded = Rulebook::load(&folder, &[], &codes, Some(&divisions()));
    std::fs::remove_dir_all(&folder).unwrap();
    let faults = loaded.err().unwrap_or_default();
    faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
}

#[test]
fn every_fault_of_a_table_is_told_with_its_line() {
    let rule = |id: &str, from: &str, require: &str, field: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nsource = \"s\"\nfrom = {from}\nuntil = 2020-01-01\n\
             require = \"{require}\"\notherwise = \"ask\"\nfield = \"{field}\"\nsays = \"s\"\n"
        )
    };
    let good = ("2016-01-01", "details.level == '1'", "disabilitySubsidy.level");
    let of = |from, require, field| faults(&rule("X", from, require, field));
    assert_eq!(of(good.0, good.1, good.2), []);
    let never = of("2021-01-01", good.1, good.2);
    assert_eq!(never.len(), 1, "{never:?}");
    assert_eq!(never[0].0, 5);
    for (require, what) in [
        ("details.colour == 'x'", "`details.colour` is no field"),
        ("hub.weather.fine", "`hub.weather.fine` is no field"),
        ("values.unheard == '1'", "`values.unheard` is no field"),
        ("details.level == '9'", "`9` is no code of `disability_level`"),
        ("details.level in ['1', '7']", "`7` is no code of `disability_level`"),
        ("hub.benefits.exists(b, b.colour)", "`hub.benefits[].colour` is no field"),
        ("1 < 2", "names no field"),
        ("details.level ==", "is no expression"),
        ("details.level == '1' && details.level == '2'", "can never be true"),
        ("'9' == details.level", "`9` is no code of `disability_level`"),
        ("details.longTermCare || true", "is always true"),
        ("details.level != details.level", "can never be true"),
        ("years(application.applicant.birthDate, day) >= 300", "can never be true"),
        ("yeers(application.applicant.birthDate, day) >= 18", "`yeers` is no function"),
        ("years(application.applicant.birthDate) >= 18", "takes 2 arguments, not 1"),
        ("details.level > 1", "cannot be evaluated"),
        ("years(details.statement, day) > 1", "cannot be evaluated"),
        ("details.longTermCare == 'true'", "true or false, and never that"),
        ("details.level == 1", "a text, and never that"),
        ("details.level", "is no yes or no"),
        ("application.source == 'ONLIN'", "`ONLIN` is no code of `application.source`"),
        ("hub.benefits.exists(b, b.benefit == 'livng')", "`livng` is no code of"),
        ("papers.W9 == []", "`papers.W9` is no field"),
    ] {
        let told = of(good.0, require, good.2);
        assert_eq!(told.first().map(|fault| fault.0), Some(6), "{require}: {told:?}");
        assert!(told[0].1.contains(what), "{require}: {told:?}");
    }
    let nobody = format!(
        "{}when = \"details.level == '1' && details.category in []\"\n",
        rule("X", good.0, good.1, good.2)
    );
    assert!(faults(&nobody)[0].1.contains("`when` is never true"), "{:?}", faults(&nobody));
    let fact = rule("X", good.0, good.1, good.2).replace("\"ask\"", "\"refuse\"");
    assert!(faults(&fact)[0].1.contains("`asks` is missing"));
    let field = of(good.0, good.1, "disabilitySubsidy.colour");
    assert_eq!(field[0].0, 8);
    let twice = rule("X", good.0, good.1, good.2).repeat(2);
    assert!(faults(&twice)[0].1.contains("stands already"));
    assert!(faults("[[rule]]\nid = \"X\"\ncolour = 1\n")[0].1.contains("colour"));
}

#[test]
fn the_page_lists_every_rule() {
    let mut page = String::new();
    for (business, province, rule) in book().list() {
        let of = if province.is_empty() { String::new() } else { format!(" ({province})") };
        let Rule { id, says, source, .. } = rule;
        let refused = rule.stages.iter().map(|stage| match rule.refused_at.contains(stage) {
            true => format!("{}: refuse", stage.name()),
            false => format!("{}: ask", stage.name()),
        });
        let refused = refused.collect::<Vec<_>>().join("; ");
        page.push_str(&format!(
            "| `{}`{of} | {id} | {says} | {refused} | {source} |\n",
            business.code()
        ));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, _) = text.split_once("|---|---|---|---|---|\n").unwrap();
    let whole = format!("{head}|---|---|---|---|---|\n{page}");
    if std::env::var_os("TONGBAN_WRITE_DOCS").is_some() {
        std::fs::write(&file, &whole).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole, "list the rules anew");
}
