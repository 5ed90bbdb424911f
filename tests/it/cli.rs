//! The command line: what each command prints, and that it exits 0 or 1 with a clear last line.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    harness::{House, Plan, TONGBAN, repository, said, tongban},
    papers,
};

#[test]
fn help_names_every_command() {
    let help = tongban(&["--help"]);
    assert!(help.status.success());
    let commands = [
        "demo",
        "serve",
        "check",
        "translate",
        "simulate",
        "certs",
        "token",
        "deliveries",
        "compare",
    ];
    for command in commands {
        assert!(said(&help).contains(&format!("\n  {command} ")), "{}", said(&help));
        let own = tongban(&[command, "--help"]);
        assert!(own.status.success(), "{command}: {}", said(&own));
        assert!(said(&own).contains("Usage: tongban"), "{}", said(&own));
    }
}

#[test]
fn certificates_are_made_once_and_never_overwritten() {
    let folder = std::env::temp_dir().join(format!("tongban-it-{}", uuid::Uuid::new_v4()));
    let name = folder.to_str().unwrap();
    let made = tongban(&["certs", "new", name]);
    assert!(made.status.success(), "{}", said(&made));
    let files = [
        "ca.pem",
        "ca.key",
        "gateway.pem",
        "gateway.key",
        "23.pem",
        "23.key",
        "23.token.key",
        "23.token.pub",
        "44.pem",
        "national.pem",
        "store.key",
        "national.seal.key",
    ];
    for file in files {
        assert!(folder.join(file).exists(), "{file}");
    }
    let before = fs::read(folder.join("ca.pem")).unwrap();
    let again = tongban(&["certs", "new", name]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("holds certificates already"), "{}", said(&again));
    assert_eq!(fs::read(folder.join("ca.pem")).unwrap(), before);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(folder.join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "a private key that others may read");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_token_needs_its_party_and_a_ttl_within_the_hour() {
    let house = House::build(Plan::new());
    let certs = house.certs();
    let certs = certs.to_str().unwrap();
    let token = tongban(&["token", "--party", "44", "--certs", certs]);
    assert!(token.status.success());
    assert_eq!(said(&token).trim().split('.').count(), 3);
    for arguments in [
        ["token", "--party", "99", "--certs", certs, "--ttl", "60"],
        ["token", "--party", "44", "--certs", certs, "--ttl", "3601"],
        ["token", "--party", "44", "--certs", "/nowhere", "--ttl", "60"],
    ] {
        let refused = tongban(&arguments);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).starts_with("tongban: "), "{}", said(&refused));
    }
}

fn translate(from: &str, to: &str, more: &[&str], document: &str) -> Output {
    translate_business("disability_subsidy", (from, to), more, document)
}

fn translate_business(
    business: &str,
    (from, to): (&str, &str),
    more: &[&str],
    document: &str,
) -> Output {
    let config = repository().join("config/tongban.toml");
    let mut child = Command::new(TONGBAN)
        .args(["translate", "--from", from, "--to", to, "--business", business])
        .args(["--config", config.to_str().unwrap()])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_document_of_each_kind_goes_round_all_formats_and_comes_back_the_same() {
    for (file, own, business) in [
        ("23-disability.json", "23-heilongjiang", "disability_subsidy"),
        ("23-old-age.json", "23-heilongjiang", "old_age_allowance"),
        ("44-divorce.xml", "44-guangdong", "divorce_registration"),
        ("national-social-assistance.json", "national", "social_assistance"),
    ] {
        let translated = |from: &str, to: &str, document: &str| {
            let output = translate_business(business, (from, to), &[], document);
            assert!(output.status.success(), "{file} {from} to {to}: {}", said(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        let mut text = papers::golden(file, 1);
        let mut start: Value = serde_json::from_str(&translated(own, "canonical", &text)).unwrap();
        let mut from = own;
        for to in ["44-guangdong", "national", "23-heilongjiang", own] {
            text = translated(from, to, &text);
            from = to;
        }
        let mut end: Value = serde_json::from_str(&translated(own, "canonical", &text)).unwrap();
        if file == "23-disability.json" {
            // What only 23 knows is not told to the others.
            assert_eq!(start["extensions"]["bdzd"], "\"本省自有字段\"");
        }
        for side in [&mut start, &mut end] {
            side.as_object_mut().unwrap().remove("extensions");
        }
        assert_eq!(start, end, "{file}");
    }
}

#[test]
fn a_translation_explains_every_field() {
    let document = papers::golden("44-disability.xml", 2);
    let told = translate("44-guangdong", "national", &["--explain"], &document);
    assert!(told.status.success(), "{}", said(&told));
    let told = said(&told);
    for field in ["Applicant.FullName", "applicant.name", "Case.@homeArea", "hardship_type"] {
        assert!(told.contains(field), "{field} is not explained:\n{told}");
    }
    for value in ["娜仁", "6228480170123456783"] {
        assert!(!told.contains(value), "lineage repeats a value:\n{told}");
    }
}

#[test]
fn a_document_that_does_not_fit_is_refused_with_its_paths() {
    let document = papers::golden("23-disability.json", 3)
        .replace("\"zyxqz\": \"20310630\"", "\"zyxqz\": \"June\"")
        .replace("\"mz\": \"02\"", "\"mz\": \"77\"");
    let refused = translate("23-heilongjiang", "national", &[], &document);
    assert_eq!(refused.status.code(), Some(1));
    for path in ["zyxqz", "sqr.mz"] {
        assert!(said(&refused).contains(path), "{}", said(&refused));
    }
    assert!(!said(&refused).contains("June"), "{}", said(&refused));
    let unknown = translate("99-nowhere", "national", &[], "{}");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("99-nowhere"), "{}", said(&unknown));
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_so() {
    let house = House::start(Plan::new()).await;
    let taken = ("TONGBAN__LISTEN__EDGE", house.edge());
    let said = house.refused(&[taken, ("TONGBAN__STORE__URL", "sqlite://other/tongban.db")]).await;
    assert!(said.contains(house.edge()), "{said}");
}
