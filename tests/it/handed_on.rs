//! Each of the newer businesses in the submitting side's own format, handed on to the handling side
//! in that side's: what it says is what was said. Documents are those of `tests/golden/`.

use serde_json::Value;

use crate::{
    harness::{House, Plan},
    papers,
    receiver::{Dialect, Receiver},
};

#[tokio::test]
async fn old_age_and_divorce_reach_the_hub_as_the_hub_writes_them() {
    let hub = Receiver::bind().await;
    let house = House::start(Plan::new().hasty().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let document = papers::golden("23-old-age.json", 41);
    house.caller("23").native("/native/old_age_allowance", &document).await.expect(200);
    hub.stores(1).await;
    let came: Value = serde_json::from_str(&hub.messages()[0].body).unwrap();
    assert_eq!(came["head"]["biz_code"], "GL01");
    assert_eq!(came["head"]["area_home"], "510107");
    let body = &came["body"];
    assert_eq!(body["id_card"], papers::citizen("230103", "19350104", 41, false));
    assert_eq!((&body["name"], &body["age_band"]), (&"卓玛·次仁".into(), &"2".into()));
    assert_eq!(body["alive_date"], "2026-04-01");
    assert_eq!(body["materials"].as_array().unwrap().len(), 4);

    let document = papers::golden("44-divorce.xml", 42);
    let taken = house.caller("44").native("/native/divorce_registration", &document).await;
    assert!(taken.expect(200).text.contains("OK"));
    hub.stores(2).await;
    let came = &hub.messages()[1].body;
    for part in [
        "<biz_code>LH01</biz_code>",
        "<name_man>李𠅤</name_man>",
        "<sex_man>01</sex_man>",
        "<recorded_cert_num_man>230103760803031</recorded_cert_num_man>",
        "<name_woman>娜仁·其木格</name_woman>",
        "<folk_woman>02</folk_woman>",
        "<marry_status_woman>20</marry_status_woman>",
        "<receipt_no>LHSL-440305-2026-000003</receipt_no>",
        "<marry_date>2001-10-01</marry_date>",
        "<is_mainland>1</is_mainland>",
        "<accept_time>2026-01-05T09:30:00+08:00</accept_time>",
        "<kind>321</kind>",
    ] {
        assert!(came.contains(part), "no {part}");
    }
}

#[tokio::test]
async fn a_household_reaches_its_home_with_every_member() {
    let home = Receiver::bind().await;
    let house = House::start(Plan::new().hasty().endpoint("23", &home.url)).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let key = std::fs::read_to_string(house.certs().join("national.seal.key")).unwrap();
    let document = papers::golden("national-social-assistance.json", 43);
    let document: Value = serde_json::from_str(&document).unwrap();
    let sealed = papers::sealed(&document, &hex::decode(key.trim()).unwrap()).to_string();
    house.caller("national").native("/national/messages", &sealed).await.expect(200);
    home.stores(1).await;
    let came: Value = serde_json::from_str(&home.messages()[0].body).unwrap();
    assert_eq!(came["bwt"]["bwlx"], "SHJZ-SQ");
    let body = &came["ywsj"];
    assert_eq!((&body["jzlb"], &body["cxlb"]), (&"1".into(), &"2".into()));
    // The hub writes fen, the platform yuan.
    assert_eq!((&body["jtyszsr"], &body["jtck"]), (&"1234.50".into(), &"5000.00".into()));
    let members = body["jtcy"].as_array().unwrap();
    let said: Vec<_> = members.iter().map(|m| (&m["xm"], &m["ysqrgx"])).collect();
    let expected =
        [("赵强", "11"), ("赵𬭎", "20"), ("赵𠅤", "30")].map(|(n, r)| (n.into(), r.into()));
    assert_eq!(said, expected.iter().map(|(n, r)| (n, r)).collect::<Vec<(&Value, &Value)>>());
}
