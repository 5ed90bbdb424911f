//! Reads what the own platform is sent: where each thing stands in its documents.

use serde_json::Value;

use crate::sim::{
    case::Business,
    claim::{Claim, Who, list_of},
    cycle::Writing,
    json::{each, text},
    voice::{fen, iso, month},
};

const DATE: &str = "%Y%m%d";

pub(super) fn claim(writing: &Writing, business: Business, body: &Value) -> Claim {
    let get = |path: &str| text(body, path);
    let who = |at: &str| {
        let get = |name: &str| text(body, &format!("{at}.{name}"));
        let number = Some(get("sfzh")).filter(|number| !number.is_empty());
        Who {
            name: get("xm"),
            number: number.unwrap_or_else(|| get("zjhm")),
            birth: iso(&get("csrq"), DATE),
            address: get("hjdz"),
            status: get("hyzk"),
        }
    };
    let people = match business {
        Business::Marriage | Business::Divorce => vec![who("nanf"), who("nvf")],
        Business::Child => vec![who("et")],
        _ => vec![who("sqr")],
    };
    let said = |word: &'static str| {
        let value = get(place(business, word));
        match word {
            "heads" => (each(body, "jtcy", "sfzh").len() + 1).to_string(),
            "valid to" | "alive on" | "on" | "father since" | "mother since" => iso(&value, DATE),
            "last paid" => month(&value, "%Y%m%d"),
            "income" | "savings" => fen(&value),
            word => writing.read(list_of(business, word), &value),
        }
    };
    Claim {
        day: iso(get("slsj").get(..8).unwrap_or_default(), DATE).parse().ok(),
        home: get("ywsdqh").get(..6).unwrap_or_default().to_owned(),
        people,
        account: get("yhzh.zh"),
        papers: each(body, "clxx", "cldm").into_iter().zip(each(body, "clxx", "wjzy")).collect(),
        ..Claim::read(business, &said)
    }
}

fn place(business: Business, word: &str) -> &'static str {
    match (business, word) {
        (Business::Child, "kind") => "etlb",
        (Business::Subsidy, "kind") => "btzl",
        (Business::Assistance, "kind") => "jzlb",
        (_, "operation") => "ywlx",
        (_, "on") => "djrq",
        (_, "present") => "sfsfdc",
        (_, "old certificate") => "yzzh",
        (_, "household") => "hklb",
        (_, "stage") => "xyzk",
        (_, "father") => "fq.qx",
        (_, "father proof") => "fq.zmcl",
        (_, "father since") => "fq.qsrq",
        (_, "mother") => "mq.qx",
        (_, "mother proof") => "mq.zmcl",
        (_, "mother since") => "mq.qsrq",
        (_, "action") => "sqsx",
        (_, "certificate") => "cjrzh",
        (_, "category") => "cjlb",
        (_, "level") => "cjdj",
        (_, "valid to") => "zyxqz",
        (_, "hardship") => "knlb",
        (_, "tekun") => "sftkgy",
        (_, "injury") => "sfgshlf",
        (_, "orphan") => "sfgejt",
        (_, "other") => "qtjt",
        (_, "care") => "sfcqzh",
        (_, "previous") => "yffd",
        (_, "last paid") => "mlny",
        (_, "exit") => "tfyy",
        (_, "band") => "nld",
        (_, "alive on") => "scrzrq",
        (_, "income") => "jtyszsr",
        (_, "savings") => "jtck",
        (_, "authorised") => "hdsqsh",
        (_, "without") => "sfsw",
        _ => "",
    }
}
