//! Applications as people hand them in: canonical ones built here, and documents in each party's
//! own format from `tests/golden/`, each of another person. Nothing of the gateway's code is
//! used: the check character is computed here again.

use serde_json::{Value, json};

/// A valid citizen number (GB 11643) that no other `n` below 500 has.
pub(crate) fn citizen(area: &str, birth: &str, n: u32, male: bool) -> String {
    assert!(n < 500, "{n}: three digits, odd for men and even for women");
    let digits = format!("{area}{birth}{:03}", n * 2 + u32::from(male));
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(weights).map(|(d, w)| u32::from(d - b'0') * w).sum();
    let check = ["1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"][(sum % 11) as usize];
    format!("{digits}{check}")
}

/// A birth date of its own for each 500 people, `yyyyMMdd`, between 1950 and 1989.
fn birth(n: u32) -> String {
    let day = n / 500;
    format!("{}{:02}{:02}", 1950 + day / 336 % 40, day / 28 % 12 + 1, day % 28 + 1)
}

fn dashed(birth: &str) -> String {
    format!("{}-{}-{}", &birth[..4], &birth[4..6], &birth[6..])
}

fn digest(n: u32) -> String {
    format!("{n:064x}")
}

/// A disability subsidy application of person `n`, decided in `home`.
pub(crate) fn subsidy(n: u32, home: &str) -> Value {
    let born = birth(n);
    let id = citizen("230103", &born, n % 500, n % 2 == 1);
    json!({
        "business": "DISABILITY_SUBSIDY",
        "acceptanceNumber": format!("CJ-2026-{n:08}"),
        "acceptingDivision": "440106009",
        "acceptingOffice": "广州市天河区林和街道党群服务中心",
        "homeDivision": home,
        "source": "WINDOW",
        "acceptTime": "2026-01-12T01:20:00Z",
        "completeTime": "2026-01-12T02:05:30Z",
        "applicant": {
            "name": "娜仁·其木格",
            "residentId": id,
            "sex": if n % 2 == 1 { "1" } else { "2" },
            "birthDate": dashed(&born),
            "ethnicity": "02",
            "phone": "13900000021",
            "registeredPlace": {"division": home, "address": "花园街道花园街社区工农巷9号2单元301室"},
            "residence": {"division": "440106009", "address": "林和街道天寿路31号1204房𠅤"}
        },
        "bankAccount": {
            "bankName": "中国农业银行哈尔滨南岗支行",
            "accountName": "娜仁·其木格",
            "accountNumber": "6228480170123456783"
        },
        "materials": [{
            "kind": "401",
            "fileName": "残疾人证.jpg",
            "sizeBytes": "259254",
            "sha256": digest(n),
            "reference": format!("https://files.example/{n}")
        }],
        "disabilitySubsidy": {
            "subsidyKind": "3",
            "certificateNumber": format!("{id}41"),
            "category": "4",
            "level": "1",
            "certificateValidTo": "2031-06-30",
            "hardshipKind": "1",
            "hardshipCertificateNumber": "哈南低保2024第000317号",
            "otherAllowance": "0",
            "longTermCare": true,
            "statement": "双下肢瘫痪，长期卧床，生活不能自理。"
        }
    })
}

/// A child recognition application of child `n`, decided in `home`.
pub(crate) fn child(n: u32, home: &str) -> Value {
    let born = format!("201{}0{}15", n / 500 % 5 + 2, n / 2500 % 9 + 1);
    json!({
        "business": "CHILD_RECOGNITION",
        "acceptanceNumber": format!("ET-2026-{n:08}"),
        "acceptingDivision": "440106009",
        "acceptingOffice": "广州市天河区林和街道党群服务中心",
        "homeDivision": home,
        "source": "ONLINE",
        "acceptTime": "2026-01-12T01:20:00Z",
        "applicant": {
            "name": "李㛃",
            "residentId": citizen("230103", &born, n % 500, false),
            "sex": "2",
            "birthDate": dashed(&born),
            "ethnicity": "01",
            "registeredPlace": {"division": home, "address": "花园街58号"},
            "residence": {"division": "440106009", "address": "天寿路31号"}
        },
        "guardian": {
            "name": "陈玉兰",
            "residentId": citizen("440305", "19650419", 111, false),
            "relation": "52",
            "phone": "13900000032",
            "address": "天寿路31号"
        },
        "bankAccount": {
            "bankName": "中国建设银行深圳南山支行",
            "accountName": "李㛃",
            "accountNumber": "6217007230001234566"
        },
        "materials": [{
            "kind": "501",
            "fileName": "审批表.pdf",
            "sizeBytes": "100",
            "sha256": digest(n),
            "reference": format!("https://files.example/{n}")
        }],
        "childRecognition": {
            "childKind": "1",
            "householdKind": "1",
            "healthStatus": "10",
            "academicStatus": "30",
            "schooling": "1",
            "boarding": true,
            "father": {"name": "李大山", "circumstance": "01", "since": "2020-05-01", "proof": "201"},
            "mother": {"name": "", "circumstance": "01", "since": "2021-06-02", "proof": "201"},
            "consentNumber": "TY-2026-0001"
        }
    })
}

/// An application for social assistance of person `n`, decided in `home`: 1 the subsistence
/// allowance of a household with these other members, 2 support of the extremely poor.
pub(crate) fn assistance(n: u32, home: &str, kind: &str, members: &[u32]) -> Value {
    let member = |n: &u32| {
        let id = citizen("230103", "20010405", *n, true);
        json!({"name": "娜仁", "residentId": id, "relation": "20"})
    };
    let mut paper = subsidy(n, home);
    paper.as_object_mut().unwrap().remove("disabilitySubsidy");
    paper["business"] = "SOCIAL_ASSISTANCE".into();
    paper["socialAssistance"] = json!({
        "kind": kind,
        "areaKind": "1",
        "members": members.iter().map(member).collect::<Vec<_>>(),
        "monthlyIncomeFen": "60000",
        "savingsFen": "100000",
        "authorisationNumber": "HDSQ-2026-0001",
        "hardshipCause": "01",
        "withoutMeansOrSupport": kind == "2"
    });
    paper
}

/// A marriage registration of couple `n` at a registry in Guangzhou.
pub(crate) fn marriage(n: u32) -> Value {
    let spouse = |name: &str, male: bool, born: &str| {
        json!({
            "person": {
                "name": name,
                "residentId": citizen("230103", born, n % 500, male),
                "sex": if male { "1" } else { "2" },
                "birthDate": dashed(born),
                "ethnicity": "11",
                "phone": "13900000041",
                "registeredPlace": {"division": "230103", "address": "花园街60号"}
            },
            "identityKind": "1",
            "documentKind": "1",
            "citizenship": "CHN",
            "maritalStatus": "10"
        })
    };
    json!({
        "business": "MARRIAGE_REGISTRATION",
        "acceptanceNumber": format!("HY-2026-{n:08}"),
        "acceptingDivision": "440106",
        "acceptingOffice": "广州市天河区民政局婚姻登记处",
        "source": "WINDOW",
        "acceptTime": "2026-01-12T01:20:00Z",
        "marriageRegistration": {
            "operation": "IA",
            "man": spouse("王𠅤", true, "19950203"),
            "woman": spouse("阿依古丽·买买提", false, "19960708"),
            "registryCode": "440106",
            "registryName": "广州市天河区民政局婚姻登记处",
            "registrationDate": "2026-01-12",
            "bothPresent": true,
            "declarationSha256": digest(n),
            "photoSha256": digest(n + 1)
        }
    })
}

/// A message of `tests/golden/`, of person `n`, with a message number of its own.
pub(crate) fn golden(file: &str, n: u32) -> String {
    let path = crate::harness::repository().join("tests/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    text.replace("{{NUMBER}}", &number())
        .replace("{{ACCEPTANCE}}", &format!("SL2026{n:08}"))
        .replace("{{ID}}", &citizen("230103", "19780612", n, false))
        .replace("{{MAN}}", &citizen("230103", "19760803", n, true))
        .replace("{{ELDER}}", &citizen("230103", "19350104", n, false))
}

/// A new message number: 32 lower-case hexadecimal digits.
pub(crate) fn number() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Seals a JSON document with HMAC-SHA256 as the contract of the national format says: every leaf
/// but the signature as `path=value`, sorted by bytes, joined by line feeds. A second
/// implementation; the gateway has its own.
pub(crate) fn sealed(document: &Value, key: &[u8]) -> Value {
    use base64::Engine as _;

    let mut lines = Vec::new();
    leaves(document, "", &mut lines);
    lines.retain(|line| !line.starts_with("sign="));
    lines.sort();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, lines.join("\n").as_bytes());
    let mut document = document.clone();
    document["sign"] = base64::engine::general_purpose::STANDARD.encode(tag).into();
    document
}

fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(field, &inner, out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{index}]"), out);
            }
        }
        Value::String(text) => out.push(format!("{path}={text}")),
        other => out.push(format!("{path}={other}")),
    }
}
