//! Old division codes find today's authority, the answer says so, and a split is asked about.

use serde_json::{Value, json};

use crate::{
    harness::{House, Plan},
    papers,
    receiver::{Dialect, Receiver},
};

/// A code as it stood, and the county-level division it belongs to today; the year of the change.
const CHANGES: &[(&str, &str, &str)] = &[
    ("230182", "230113", "2014 双城市改双城区"),
    ("231024", "231086", "2015 东宁县改东宁市"),
    ("230833", "230883", "2016 抚远县改抚远市"),
    ("232723", "232701", "2018 漠河县改漠河市"),
    ("231121", "231183", "2019 嫩江县改嫩江市"),
    ("230702", "230717", "2019 伊春区并入伊美区"),
    ("230711", "230718", "2019 乌马河区并入乌翠区"),
    ("230709", "230751", "2019 金山屯区并入金林区"),
    ("230713", "230725", "2019 带岭区改大箐山县"),
    ("110228", "110118", "2015 密云县改密云区"),
    ("120225", "120119", "2016 蓟县改蓟州区"),
    ("310103", "310101", "2011 卢湾区并入黄浦区"),
    ("310108", "310106", "2015 闸北区并入静安区"),
    ("320103", "320104", "2013 白下区并入秦淮区"),
    ("320502", "320508", "2012 沧浪区并入姑苏区"),
    ("330103", "330105", "2021 下城区并入拱墅区"),
    ("350681", "350604", "2021 龙海市改龙海区"),
    ("350402", "350404", "2021 梅列区并入三元区"),
    ("540530", "540581", "2023 错那县改错那市"),
    ("370205", "370203", "2012 四方区并入市北区"),
    ("370282", "370215", "2017 即墨市改即墨区"),
    ("371202", "370116", "2019 莱城区改济南市莱芜区"),
    ("440183", "440118", "2014 增城市改增城区"),
    ("440116", "440112", "2014 萝岗区并入黄埔区"),
    ("500224", "500151", "2014 铜梁县改铜梁区"),
    ("510122", "510116", "2015 双流县改双流区"),
    ("512081", "510185", "2016 简阳市由资阳划归成都"),
    ("220381", "220184", "2020 公主岭市由四平划归长春"),
    ("522201", "520602", "2011 铜仁市改碧江区"),
    ("542421", "540602", "2017 那曲县改色尼区"),
];

#[tokio::test]
async fn an_old_code_finds_todays_authority_and_the_answer_says_so() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    for (number, (old, today, change)) in CHANGES.iter().enumerate() {
        let n = u32::try_from(number).unwrap();
        let code = if n.is_multiple_of(2) { format!("{old}001") } else { (*old).to_owned() };
        let paper = papers::subsidy(n, &code);
        let taken = caller.submit(&format!("r-{n}"), &paper).await.expect(201).json();
        let authority = &taken["handlingAuthority"];
        assert_eq!(authority["division"], *today, "{change}");
        assert_eq!(authority["succeededFrom"], code.as_str(), "{change}");
        assert_eq!(authority["level"], "COUNTY", "{change}");
        assert_eq!(taken["homeDivision"], code.as_str(), "as it was handed in");
        let name = taken["homeDivisionName"].as_str().unwrap();
        assert!(authority["office"].as_str().unwrap().starts_with(name), "{change}: {authority}");
        let handler = match &old[..2] {
            "23" => "23",
            "44" => "44",
            _ => "national",
        };
        assert_eq!(taken["handlingParty"], handler, "{change}");
    }
}

#[tokio::test]
async fn a_division_that_stands_is_its_own_and_a_split_one_is_asked_about() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let paper = papers::subsidy(1, "230103001");
    let taken = caller.submit("s-1", &paper).await.expect(201).json();
    let authority = &taken["handlingAuthority"];
    assert_eq!(authority["division"], "230103");
    assert_eq!(authority.get("succeededFrom"), None);
    // 邯郸县 went to two districts in 2016.
    let refused = caller.submit("s-2", &papers::subsidy(2, "130421")).await.expect(400).json();
    assert_eq!(refused["reason"], "UNKNOWN_DIVISION");
    let told = refused["violations"][0]["description"].as_str().unwrap();
    assert!(told.contains("130402") && told.contains("130403"), "{told}");
    // 江干区's 下沙 and 白杨 went to 钱塘区 in 2021, the rest to 上城区; 余杭区 stands without 临平.
    for (number, (town, today)) in
        [("330104009", "330114"), ("330104005", "330102"), ("330110001", "330113")]
            .into_iter()
            .enumerate()
    {
        let paper = papers::subsidy(10 + u32::try_from(number).unwrap(), town);
        let taken = caller.submit(&format!("s-t{number}"), &paper).await.expect(201).json();
        assert_eq!(taken["handlingAuthority"]["division"], today, "{town}");
        assert_eq!(taken["handlingAuthority"]["succeededFrom"], town);
    }
    let asked = caller.submit("s-5", &papers::subsidy(5, "330104")).await.expect(400).json();
    let told = asked["violations"][0]["description"].as_str().unwrap();
    assert!(told.contains("330102") && told.contains("330114"), "{told}");
    let never = caller.submit("s-3", &papers::subsidy(3, "239999")).await.expect(400).json();
    assert_eq!(never["reason"], "UNKNOWN_DIVISION");
}

#[tokio::test]
async fn what_a_county_handed_down_is_decided_by_the_township() {
    let house = House::start(Plan::new()).await;
    let mut paper = papers::subsidy(1, "230103001");
    paper["business"] = "SOCIAL_ASSISTANCE".into();
    paper.as_object_mut().unwrap().remove("disabilitySubsidy");
    paper["socialAssistance"] = json!({
        "kind": "1", "areaKind": "1", "hardshipCause": "01", "authorisationNumber": "HDSQ-1",
        "monthlyIncomeFen": "30000", "savingsFen": "0"
    });
    let caller = house.caller("44");
    let taken = caller.submit("t-1", &paper).await.expect(201).json();
    assert_eq!(taken["handlingAuthority"]["level"], "TOWNSHIP");
    assert_eq!(taken["handlingAuthority"]["division"], "230103001");
    let kinds: Vec<_> =
        taken["deadlines"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["FORWARD"]);
    assert!(!asked(&taken).contains(&"R1"), "{taken}");
    // Which of the townships is asked, not guessed: six digits name the county, and those of a
    // town under a code that is gone name none that stands.
    for (n, home) in [(2, "230103"), (3, "230702001")] {
        let mut unclear = papers::subsidy(n, home);
        for part in ["business", "socialAssistance"] {
            unclear[part] = paper[part].clone();
        }
        unclear.as_object_mut().unwrap().remove("disabilitySubsidy");
        let taken = caller.submit(&format!("t-{n}"), &unclear).await.expect(201).json();
        assert_eq!(taken["handlingAuthority"]["level"], "TOWNSHIP");
        assert!(asked(&taken).contains(&"R1"), "{taken}");
    }
}

/// The rules that ended in a question.
fn asked(application: &Value) -> Vec<&str> {
    let checks = application["checks"].as_array().unwrap();
    checks.iter().map(|check| check["rule"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_party_reads_who_decides_and_what_is_open_in_its_own_format() {
    let hub = Receiver::bind().await;
    let house = House::start(Plan::new().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    // 闸北区 went into 静安区 in 2015.
    let document = papers::golden("23-disability.json", 7).replace("510104001002", "310108");
    let taken = house.caller("23").native("/native/disability_subsidy", &document).await;
    let reply = taken.expect(200).json();
    let office = &reply["sj"]["bljg"];
    assert_eq!(office["jgmc"], "上海市静安区民政局", "{reply}");
    assert_eq!(
        (office["qhdm"].as_str(), office["yqhdm"].as_str()),
        (Some("310106"), Some("310108"))
    );
    let open = reply["sj"]["hcsx"].as_array().unwrap();
    let living = open.iter().find(|one| one["gzbh"] == "S9a").unwrap();
    assert_eq!(living["zd"], "ywsj.sqr.sfzh", "named as the party writes it: {reply}");
    assert!(!living["sm"].as_str().unwrap().is_empty());
    assert_eq!(reply["sj"]["blsx"][0]["sxlb"], "FORWARD");
    hub.stores(1).await;
    let delivered: Value = serde_json::from_str(&hub.messages()[0].body).unwrap();
    let body = &delivered["body"];
    assert_eq!(body["handling_org"]["former_area"], "310108", "{body}");
    assert_eq!(body["handling_org"]["name"], "上海市静安区民政局");
    assert_eq!(body["to_verify"].as_array().unwrap().len(), open.len());
    assert_eq!(body["time_limits"][0]["kind"], "FORWARD");
}
