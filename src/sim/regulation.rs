//! The regulation as the stand-ins know it: what speaks against a case, judged from what it says
//! and from what the libraries hold. Written by hand from the texts named at each rule and not
//! from the gateway's tables, which it is to catch when they differ.

use jiff::civil::Date;
use serde_json::Value;

use crate::sim::{
    case::Business,
    claim::{Claim, Who},
    fates::{Fate, fate},
    library,
};

/// What speaks against a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    /// The rule, by its id in the published list (`docs/rules.md`), without the letter of its part.
    pub rule: &'static str,
    /// Why it is refused if nothing cures it: list `refusal_reason`.
    pub reason: &'static str,
    /// Kinds of paper each of which would cure it; none for what no paper cures.
    pub cure: &'static [&'static str],
}

impl Objection {
    const fn curable(self) -> bool {
        !self.cure.is_empty()
    }
}

/// What a case comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Grant,
    /// Papers of these kinds, and then again.
    Ask(Vec<&'static str>),
    /// The reason.
    Deny(&'static str),
}

/// What is to be done about a case; whoever was asked once already is not asked again.
pub(super) fn verdict(objections: &[Objection], asked: bool) -> Verdict {
    if let Some(one) = objections.iter().find(|one| asked || !one.curable()) {
        return Verdict::Deny(one.reason);
    }
    match objections {
        [] => Verdict::Grant,
        some => Verdict::Ask(some.iter().flat_map(|one| one.cure.iter().copied()).collect()),
    }
}

/// Everything that speaks against a case.
pub(super) fn objections(business: Business, claim: &Claim, today: Date) -> Vec<Objection> {
    let mut against = match business {
        Business::Marriage => marriage(claim, today),
        Business::Divorce => divorce(claim, today),
        Business::Subsidy => subsidy(claim, today),
        Business::Child => child(claim, today),
        Business::OldAge => old_age(claim, today),
        Business::Assistance => assistance(claim, today),
    };
    against.extend(papers(business, claim));
    against.retain(|one| !one.cure.iter().any(|kind| claim.has_paper(kind)));
    against
}

/// What only the national marriage library can say against a couple: the check of the hub.
pub(super) fn library_objections(business: Business, claim: &Claim, today: Date) -> Vec<Objection> {
    let all = objections(business, claim, today);
    let looked_up = if business == Business::Marriage { "M2" } else { "D1" };
    all.into_iter().filter(|one| one.rule == looked_up).collect()
}

const fn refuse(rule: &'static str, reason: &'static str) -> Objection {
    Objection { rule, reason, cure: &[] }
}

const fn ask(rule: &'static str, reason: &'static str, cure: &'static [&'static str]) -> Objection {
    Objection { rule, reason, cure }
}

/// Those of the list whose condition holds.
fn holding<const N: usize>(list: [(bool, Objection); N]) -> Vec<Objection> {
    list.into_iter().filter(|(holds, _)| *holds).map(|(_, one)| one).collect()
}

/// Civil Code art. 1047, 1048; 婚姻登记条例 (Decree 804); 婚姻登记工作规范 (2025) on proof.
fn marriage(claim: &Claim, today: Date) -> Vec<Objection> {
    if claim.get("operation") != "IA" {
        return Vec::new();
    }
    let on = claim.date("on").unwrap_or(today);
    let mut against = Vec::new();
    for (who, age) in claim.people.iter().zip([22, 20]) {
        if years(&who.birth, on).is_some_and(|years| years < age) {
            against.push(refuse("M1", "01"));
        }
        // Until the certificate of divorce is collected the two are married (art. 1077).
        if !library::divorces(&who.number, today).is_empty() {
            against.push(refuse("M2", "06"));
            continue;
        }
        // Declared unmarried, and so the library must say; what it lacks is proved by papers.
        let (married, divorced) = records(who);
        let cure: &[&str] = match (married, who.status.as_str()) {
            (true, _) => &["303", "304", "306"],
            (false, "10") if !divorced => continue,
            (false, "40") if divorced => continue,
            (false, "10" | "40") => &["303", "304"],
            (false, "30") => &["306"],
            _ => &["303", "304", "306", "309"],
        };
        against.push(ask("M2", if married { "03" } else { "05" }, cure));
    }
    against
}

/// Whether the libraries have a standing marriage, and whether an ended one.
pub(super) fn records(who: &Who) -> (bool, bool) {
    let old = format!(
        "{}{}",
        who.number.get(..6).unwrap_or_default(),
        who.number.get(8..17).unwrap_or_default()
    );
    let mut all = library::marriages(&who.name, &who.number);
    if who.number.len() == 18 && who.number.get(6..8) == Some("19") {
        all.extend(library::marriages(&who.name, &old));
        if library::in_old_library(&old) {
            return (true, false);
        }
    }
    let last = all.iter().max_by_key(|record| text(record, "op_date"));
    let operation = last.map(|record| text(record, "op_type")).unwrap_or_default();
    (operation == "IA", operation == "IB")
}

/// Civil Code art. 1076-1078; 民发〔2020〕116号.
fn divorce(claim: &Claim, today: Date) -> Vec<Objection> {
    let mut against = holding([
        (!claim.yes("in china"), refuse("D4", "07")),
        (!claim.yes("present"), refuse("D6", "02")),
        (!claim.yes("capable"), refuse("D3", "09")),
        (!claim.yes("children") || !claim.yes("property"), refuse("D2", "08")),
    ]);
    for who in &claim.people {
        if !library::divorces(&who.number, today).is_empty() {
            against.push(refuse("D1", "06"));
        } else if !records(who).0 {
            against.push(ask("D1", "10", &["308"]));
        }
    }
    against
}

/// 国发〔2015〕52号 and the provinces' lists; 残疾人证管理办法; 民发〔2019〕62号.
fn subsidy(claim: &Claim, today: Date) -> Vec<Objection> {
    let Some(who) = claim.people.first() else { return Vec::new() };
    let (kind, action) = (claim.get("kind"), claim.get("action"));
    if matches!(action, "2" | "3" | "5") {
        return Vec::new();
    }
    let (living, nursing) = (matches!(kind, "1" | "3"), matches!(kind, "2" | "3"));
    let own_list = matches!(claim.home.get(..2), Some("23" | "44"));
    let needy = match claim.get("hardship") {
        "1" | "2" => true,
        "3" | "4" | "6" | "7" => own_list,
        _ => false,
    };
    let (level, category) = (claim.get("level"), claim.get("category"));
    let beyond = claim.home.starts_with("44") && matches!(category, "5" | "6");
    let heavy = matches!(level, "1" | "2") || beyond;
    let draws = |benefit: &str| draws(&who.number, benefit, today).is_some();
    let on_dibao = ask("S1", "11", &["403"]);
    let valid = claim.date("valid to").is_none_or(|end| claim.day.is_none_or(|day| end >= day));
    let mut against = holding([
        (living && !needy, refuse("S1", "11")),
        // 低保 is looked up, and proved by its certificate where the lists lack it.
        (living && matches!(claim.get("hardship"), "1" | "2") && !draws("03"), on_dibao),
        (nursing && !heavy, refuse("S2", "12")),
        (nursing && !claim.yes("care"), ask("S2", "12", &["405"])),
        (claim.yes("injury") || draws("08"), refuse("S4", "13")),
        (claim.yes("tekun") || draws("04"), refuse("S5", "14")),
        (living && (claim.yes("orphan") || draws("05")), refuse("S6", "15")),
        (claim.get("other") != "0", ask("S7", "16", &["406"])),
        (living && draws("06"), ask("S8", "15", &["406"])),
        (!valid, refuse("S10", "17")),
    ]);
    against.extend(register(claim, &who.number, today));
    against.extend(one_place(claim, who, (living, nursing), today));
    against.extend(household(claim, who, "S11"));
    against
}

/// The certificate as the register of the disabled knows it (残疾人证管理办法).
fn register(claim: &Claim, number: &str, today: Date) -> Option<Objection> {
    let entry =
        library::certificates(number, claim.get("certificate"), today).into_iter().next()?;
    let differs = text(&entry, "level") != claim.get("level");
    (differs || text(&entry, "valid") != "1").then(|| refuse("S10", "17"))
}

/// One person, one place that pays (审计: double payment in two provinces); a household that moves
/// is paid there to the last month and here from the next.
fn one_place(
    claim: &Claim,
    who: &Who,
    (living, nursing): (bool, bool),
    today: Date,
) -> Option<Objection> {
    let rows = [living.then_some("01"), nursing.then_some("02")];
    let drawn = rows.into_iter().flatten().find_map(|code| draws(&who.number, code, today));
    match (claim.get("action"), drawn) {
        ("" | "1", Some(_)) => Some(refuse("S9", "18")),
        ("6", Some((place, _))) if place.get(..6) != claim.get("previous").get(..6) => {
            Some(refuse("S9", "19"))
        }
        ("6", Some((_, month))) if month != claim.get("last paid") => {
            Some(ask("S9", "19", &["609"]))
        }
        _ => None,
    }
}

/// Where a benefit is being paid, and its last month.
fn draws(number: &str, benefit: &str, today: Date) -> Option<(String, String)> {
    let rows = library::benefits(number, today);
    let row =
        rows.iter().find(|row| text(row, "benefit") == benefit && text(row, "active") == "1")?;
    Some((text(row, "pay_division"), text(row, "last_paid_month")))
}

/// Alive, and of the household that the case says.
fn household(claim: &Claim, who: &Who, rule: &'static str) -> Option<Objection> {
    let record = library::household(&who.number, &claim.home);
    if text(&record, "alive") != "1" {
        return Some(refuse(if rule == "H5" { "H6" } else { rule }, "35"));
    }
    (text(&record, "huji_code") != claim.home).then(|| refuse(rule, "31"))
}

/// 国办发〔2010〕54号; 民发〔2019〕62号; 民发〔2020〕125号; 粤民规字〔2019〕10号.
fn child(claim: &Claim, today: Date) -> Vec<Objection> {
    let Some(who) = claim.people.first() else { return Vec::new() };
    let guangdong = claim.home.starts_with("44");
    let student = guangdong && matches!(claim.get("stage"), "50" | "60" | "70" | "80");
    let age = years(&who.birth, claim.day.unwrap_or(today)).unwrap_or_default();
    let (father, mother) = (claim.get("father"), claim.get("mother"));
    let lost = |parent: &str| matches!(parent, "01" | "02" | "98");
    let unable = |parent: &str| {
        matches!(parent, "03" | "04" | "05" | "06" | "07" | "08" | "09") || parent == "10"
    };
    let unknown = father == "99" || mother == "99";
    let pair_holds = match claim.get("kind") {
        "1" => [father, mother].iter().all(|parent| lost(parent) || *parent == "99"),
        _ if unknown => father != "00" && mother != "00",
        // In Guangdong who was sent out of the country counts only beside one who is lost.
        _ => {
            let both = unable(father) && unable(mother);
            let banished = father == "10" || mother == "10";
            both && !(guangdong && banished)
                || lost(father) && unable(mother)
                || unable(father) && lost(mother)
        }
    };
    let taken = ["05", "06"].iter().any(|code| draws(&who.number, code, today).is_some());
    let mut against = holding([
        (age >= if student { 26 } else { 18 }, refuse("C1", "21")),
        (!pair_holds, refuse("C2", "22")),
        (unknown, ask("C2", "23", &["208", "211"])),
        (taken, refuse("C7", "24")),
    ]);
    against.extend([father, mother].into_iter().filter_map(|parent| proof(claim, parent)));
    if claim.get("household") != "3" {
        against.extend(household(claim, who, "C4"));
    }
    against
}

/// Each circumstance has its paper: domain table of 民发〔2019〕62号.
fn proof(claim: &Claim, circumstance: &str) -> Option<Objection> {
    let cure: &[&str] = match circumstance {
        "01" => &["201", "202"],
        "02" => &["202"],
        "03" => &["203"],
        "04" => &["204"],
        "05" => &["205"],
        "06" => &["206"],
        "07" => &["207"],
        "08" => &["208"],
        "09" => &["209"],
        "10" => &["210"],
        "98" => &["211"],
        _ => return None,
    };
    let there = cure.iter().any(|kind| claim.has_paper(kind));
    (!there).then(|| ask("W4", "23", cure))
}

/// 老年人权益保障法 art. 33; from 80, by bands of ten years.
fn old_age(claim: &Claim, today: Date) -> Vec<Objection> {
    let Some(who) = claim.people.first() else { return Vec::new() };
    let action = claim.get("action");
    if matches!(action, "2" | "3" | "5") {
        return Vec::new();
    }
    let day = claim.day.unwrap_or(today);
    let age = years(&who.birth, day).unwrap_or_default();
    let band = match age {
        100.. => "3",
        90..=99 => "2",
        _ => "1",
    };
    let seen = claim.get("alive on");
    let drawn = action == "1" && draws(&who.number, "07", today).is_some();
    let mut against = holding([
        (age < 80, refuse("A1", "26")),
        (age >= 80 && claim.get("band") != band, refuse("A2", "26")),
        (claim.get("other") != "0", ask("A3", "27", &["406"])),
        (drawn, refuse("A6", "18")),
        (years(seen, day).is_none_or(|years| years >= 1), ask("A7", "35", &["606"])),
    ]);
    let dead = household(claim, who, "A5");
    against.extend(dead.map(|one| if one.reason == "35" { refuse("A4", "35") } else { one }));
    against
}

/// 社会救助暂行办法 (Decree 649) art. 9, 14; 民发〔2021〕43号, 57号. The line is the county's own.
fn assistance(claim: &Claim, today: Date) -> Vec<Objection> {
    let Some(who) = claim.people.first() else { return Vec::new() };
    let (kind, heads) = (claim.get("kind"), claim.amount("heads").max(1));
    let draws = |benefit: &str| draws(&who.number, benefit, today).is_some();
    let mut against = holding([
        (kind == "1" && draws("04"), refuse("H1", "29")),
        // Who changes over to 特困 says so and loses the allowance.
        (kind == "2" && claim.get("action") != "2" && draws("03"), ask("H1", "34", &["609"])),
        (kind == "2" && !claim.yes("without"), refuse("H2", "29")),
        (kind == "1" && claim.amount("income") > heads * LINE_FEN, refuse("H3", "28")),
        (kind != "3" && claim.amount("savings") > heads * SAVINGS_FEN, refuse("H4", "28")),
    ]);
    against.extend(household(claim, who, "H5"));
    against
}

/// What must be handed in, and what to ask for where it is not (一次性告知).
fn papers(business: Business, claim: &Claim) -> Vec<Objection> {
    let entering = matches!(claim.get("action"), "" | "1" | "6");
    let wanted: &[&'static [&'static str]] = match business {
        Business::Marriage if claim.get("operation") != "IA" => &[&["111", "118"], &["310"]],
        Business::Marriage => &[&["111", "118"], &["301"], &["302"]],
        Business::Divorce => &[&["111", "118"], &["307", "308"], &["311"], &["321"]],
        Business::Subsidy if entering => &[&["111", "119"], &["113"], &["401"]],
        Business::Child => &[&["113", "117"], &["111"], &["122"]],
        Business::OldAge if entering => &[&["111", "119"]],
        Business::Subsidy | Business::OldAge => &[],
        Business::Assistance => match claim.get("kind") {
            "1" => &[&["111", "119"], &["601"], &["602"]],
            "2" => &[&["111", "119"], &["601"]],
            _ => &[&["111", "119"]],
        },
    };
    let lacking = |cure: &&[&str]| !cure.iter().any(|kind| claim.has_paper(kind));
    wanted.iter().copied().filter(lacking).map(|cure| ask("W", "33", cure)).collect()
}

/// Whether the one who must answer never does.
pub(super) fn never_answers(claim: &Claim) -> bool {
    claim.people.iter().any(|who| fate(&who.number) == Fate::NeverAnswers)
}

/// What the examiner sees on the spot and no document says: once in nine cases, by its number.
pub(super) fn on_the_spot(business: Business, turn: usize) -> Option<&'static str> {
    let reasons: &[&'static str] = match business {
        // Not of free will; kin within three generations (Civil Code art. 1046, 1048).
        Business::Marriage => &["02", "04"],
        Business::Divorce => &["02", "09"],
        Business::Assistance => &["36", "32"],
        _ => &["32"],
    };
    (turn % 9 == 7).then(|| reasons[turn / 9 % reasons.len()])
}

/// Full years from a day to another.
fn years(from: &str, to: Date) -> Option<i16> {
    let from: Date = from.parse().ok()?;
    let passed = (to.month(), to.day()) >= (from.month(), from.day());
    Some(to.year() - from.year() - i16::from(!passed))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// The subsistence line of the stand-ins' counties, a month and head, and the savings that count
/// as too many. Counties set their own.
const LINE_FEN: i64 = 80_000;
const SAVINGS_FEN: i64 = 2_000_000;
