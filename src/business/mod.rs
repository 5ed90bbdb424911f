//! Is this application right? One file per business (事项): its rules with their sources, its
//! state machine, the benefits it asks for. Adding a business is a file here, its line in
//! `rules`, and its mapping tables. Depends on model.

pub mod adjustment;
mod assistance;
pub mod clock;
mod child;
mod couple;
mod decision;
mod disability;
mod divorce;
#[cfg(test)]
mod drawing;
mod home;
pub mod likeness;
mod marriage;
mod old_age;
pub mod opinion;
pub mod rules;

pub use crate::business::adjustment::Outcome;
use crate::{
    business::adjustment::Adjustment,
    model::{
        lifecycle::Machine,
        pb::{self, Business, application::Details},
        problem::{Cause, Violation},
    },
};

/// A benefit and the person it is for; two open applications for one are a duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Benefit {
    /// Its name, `disability_subsidy/living` …
    name: &'static str,
    /// Number of the person's document.
    person: String,
}

impl Benefit {
    fn text(&self) -> String {
        format!("{}\n{}", self.name, self.person)
    }

    /// The right to be the one open application about it.
    fn right(&self) -> String {
        format!("{}/open", self.text())
    }
}

/// How a business travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// Accept and forward (异地代收代办): the home division decides.
    ToHome,
    /// Nationwide handling (全国通办): decided where it is; the national hub checks and records.
    ToNationalHub,
}

/// What the gateway knows of a business.
struct Rules {
    machine: Machine,
    travel: Travel,
    check: fn(&pb::Application, &mut Violations),
    /// What is asked for, and what is then paid or no longer paid to whom.
    benefits: fn(&pb::Application) -> Vec<Benefit>,
    /// Its statutory limits.
    limits: &'static [clock::Limit],
}

/// Collects what is wrong.
#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn form(&mut self, field: &str, description: &str) {
        self.0.push(Violation::form(field, description));
    }

    fn refuse(&mut self, field: &str, description: &str) {
        self.0.push(Violation::of(Cause::Eligibility, field, description));
    }
}

const fn rules(business: Business) -> Option<&'static Rules> {
    match business {
        Business::Unspecified => None,
        Business::MarriageRegistration => Some(&marriage::RULES),
        Business::DisabilitySubsidy => Some(&disability::RULES),
        Business::ChildRecognition => Some(&child::RULES),
        Business::DivorceRegistration => Some(&divorce::RULES),
        Business::OldAgeAllowance => Some(&old_age::RULES),
        Business::SocialAssistance => Some(&assistance::RULES),
    }
}

/// The state machine of a business; of an unknown one, a machine without steps.
pub fn machine(business: Business) -> Machine {
    rules(business).map_or(&[], |rules| rules.machine)
}

/// The statutory limits of a business.
pub fn limits(business: Business) -> &'static [clock::Limit] {
    rules(business).map_or(&[], |rules| rules.limits)
}

/// How a business travels.
pub fn travel(business: Business) -> Travel {
    rules(business).map_or(Travel::ToHome, |rules| rules.travel)
}

/// What must be free for an application to be taken in, as texts to be digested: the benefits it
/// asks for, and the right to be the one open application about each. Whoever asks to change,
/// rest, end or move a benefit needs only the second, since the first is being paid.
pub fn claims(application: &pb::Application) -> Vec<String> {
    let Some(rules) = rules(application.business()) else { return Vec::new() };
    let adjustment = Adjustment::of(application.details.as_ref());
    let texts = (rules.benefits)(application).into_iter().flat_map(|benefit| {
        let new = adjustment.is_none_or(|adjustment| adjustment.is_new());
        let benefit_itself = new.then(|| benefit.text());
        let right = adjustment.is_some().then(|| benefit.right());
        benefit_itself.into_iter().chain(right)
    });
    texts.collect()
}

/// The name of the benefit that a claim is about.
pub fn benefit_of(claim: &str) -> &str {
    claim.split('\n').next().unwrap_or_default()
}

/// The application as the decision grants it: of the two subsidies applied for, perhaps one.
pub fn as_granted(application: &pb::Application, decision: &pb::Decision) -> pb::Application {
    let mut granted = application.clone();
    if let Some(Details::DisabilitySubsidy(body)) = &mut granted.details
        && !decision.granted_kind.is_empty()
    {
        body.subsidy_kind.clone_from(&decision.granted_kind);
    }
    granted
}

/// The benefits that are paid to somebody once the application is granted, as texts to be
/// digested, the applicant's own first.
pub fn held(application: &pb::Application) -> Vec<String> {
    let rules = rules(application.business());
    let benefits = rules.map_or_else(Vec::new, |rules| (rules.benefits)(application));
    benefits.iter().map(Benefit::text).collect()
}

/// Whether who acts on the benefit acts on all that is held with it: the record of a household.
pub fn is_whole(application: &pb::Application) -> bool {
    matches!(&application.details, Some(Details::SocialAssistance(body)) if assistance::is_household(body))
}

/// What a grant does to the benefits: nothing where nothing is paid, or only once.
pub fn grants(application: &pb::Application) -> Outcome {
    match &application.details {
        Some(Details::SocialAssistance(body)) if assistance::is_once(body) => Outcome::Nothing,
        details => {
            Adjustment::of(details.as_ref()).map_or(Outcome::Nothing, |asked| asked.outcome())
        }
    }
}

/// Where a new application stands: a marriage that was booked online waits for the couple.
pub fn first_state(application: &pb::Application) -> pb::State {
    let online = application.source() == pb::Source::Online;
    match application.business() {
        Business::MarriageRegistration if online => pb::State::Booked,
        _ => pb::State::Received,
    }
}

/// What is wrong with an application beyond the rules of form.
pub fn check(application: &pb::Application) -> Vec<Violation> {
    let mut out = Violations::default();
    let Some(rules) = rules(application.business()) else {
        out.form("business", "is no business of this gateway");
        return out.0;
    };
    match body_business(application.details.as_ref()) {
        Some(business) if business == application.business() => {}
        Some(_) => out.form("business", "is not the business of the body that came with it"),
        None => out.form(&body_field(application.business()), "is required; fill it in"),
    }
    if rules.travel == Travel::ToHome {
        if application.home_division.is_empty() {
            out.form("homeDivision", "is required: the home division decides this business");
        }
        if application.applicant.is_none() {
            out.form("applicant", "is required: the person the benefit is for");
        }
        if application.bank_account.is_none() {
            out.form("bankAccount", "is required: the benefit is paid to it");
        }
    }
    if let Some(adjustment) = Adjustment::of(application.details.as_ref()) {
        adjustment.check(&mut out);
    }
    out.0.extend(check_materials(&application.materials));
    out.0.extend(check_files(application.business(), &application.materials));
    if application.extensions.len() > 200 {
        out.form("extensions", "has more than 200 entries");
    }
    (rules.check)(application, &mut out);
    out.0
}

/// What is wrong with papers, of an application or handed in later; paths below `materials`.
pub fn check_materials(materials: &[pb::Material]) -> Vec<Violation> {
    let mut out = Violations::default();
    for (index, material) in materials.iter().enumerate() {
        check_material(index, material, &mut out);
    }
    out.0
}

/// Kinds of file that the child-welfare front end takes, domain §4.3 \[S26e\]; of other businesses
/// nothing is known.
pub fn check_files(business: Business, materials: &[pb::Material]) -> Vec<Violation> {
    const KINDS: [&str; 6] = ["jpg", "jpeg", "png", "doc", "docx", "pdf"];
    let mut out = Violations::default();
    for (index, material) in materials.iter().enumerate() {
        let kind = material.file_name.rsplit_once('.').map_or("", |(_, kind)| kind);
        let known = KINDS.contains(&kind.to_ascii_lowercase().as_str());
        if business == Business::ChildRecognition && !known {
            let text = "must end with .jpg, .jpeg, .png, .doc, .docx or .pdf";
            out.form(&format!("materials[{index}].fileName"), text);
        }
    }
    out.0
}

/// What is wrong with a decision about an application; paths below `decision`.
pub fn check_decision(application: &pb::Application, decision: &pb::Decision) -> Vec<Violation> {
    let mut out = Violations::default();
    let today = crate::model::clock::china_date(crate::model::clock::now_micros());
    decision::check(application, decision, today, &mut out);
    out.0
}

/// What is wrong with the receipt shown for a withdrawal (D5: only where it was applied for, by who
/// shows the receipt; domain §2.2).
pub fn check_receipt(application: &pb::Application, shown: &str) -> Vec<Violation> {
    let mut out = Violations::default();
    match &application.details {
        _ if shown.is_empty() => {}
        Some(Details::DivorceRegistration(body)) if body.receipt_number == shown => {}
        Some(Details::DivorceRegistration(_)) => {
            let text = "is not that of this application; see the receipt (受理回执单) (D5)";
            out.form("receiptNumber", text);
        }
        _ => out.form("receiptNumber", "is only for the withdrawal of a divorce"),
    }
    out.0
}

/// A material's content must be what its digest and size say; 10 MB at most, by reference or
/// inline but not neither. Limit: the child-welfare front end's, domain §4.3.
fn check_material(index: usize, material: &pb::Material, out: &mut Violations) {
    const MOST: i64 = 10 << 20;
    let mut say = |field: &str, text: &str| out.form(&format!("materials[{index}].{field}"), text);
    if material.size_bytes <= 0 || material.size_bytes > MOST {
        say("sizeBytes", "must be 1 to 10485760 (10 MB)");
    }
    if material.content.is_empty() {
        match material.reference.as_str() {
            "" => say("reference", "is required when there is no content"),
            uri if !is_uri(uri) => say("reference", "must be a URI, like https://files.example/1"),
            _ => {}
        }
        return;
    }
    if i64::try_from(material.content.len()) != Ok(material.size_bytes) {
        say("sizeBytes", "is not the size of the content");
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &material.content);
    if hex::encode(digest) != material.sha256 {
        say("sha256", "is not the digest of the content; the file may be damaged, send it again");
    }
}

/// Scheme, colon, and something without blanks behind it. RFC 3986.
fn is_uri(text: &str) -> bool {
    let scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (name, rest) = text.split_once(':').unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(scheme)
        && !rest.is_empty()
        && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The number under which a person is the same whatever window wrote it down; of someone without
/// a number (a child without registration) name, birth date and guardian, the name without
/// spaces and middle dots, which every window writes in its own way.
fn identity(person: &pb::Person, guardian: Option<&pb::Representative>) -> String {
    if !person.resident_id.is_empty() {
        return person.resident_id.to_ascii_uppercase();
    }
    let name = plain(&person.name);
    let guardian = guardian.map_or("", |guardian| guardian.resident_id.as_str());
    format!("{name}/{}/{guardian}", person.birth_date)
}

/// A name without what every window writes in its own way.
fn plain(name: &str) -> String {
    let dots = ['·', '•', '・', '‧', '．', '.'];
    name.chars().filter(|c| !c.is_whitespace() && !dots.contains(c)).collect()
}

/// A person's number, sex and birth date must agree. GB 11643.
fn check_person(field: &str, person: &pb::Person, out: &mut Violations) {
    let Ok(id) = crate::model::resident_id::ResidentId::parse(&person.resident_id) else {
        return; // The rules of form have told it.
    };
    if !person.birth_date.is_empty() && person.birth_date != id.birth_date().to_string() {
        out.form(&format!("{field}.birthDate"), "is not the birth date of the citizen number");
    }
    if matches!(person.sex.as_str(), "1" | "2") && person.sex != id.sex() {
        out.form(&format!("{field}.sex"), "is not the sex of the citizen number");
    }
}

const fn body_business(details: Option<&Details>) -> Option<Business> {
    match details {
        None => None,
        Some(Details::MarriageRegistration(_)) => Some(Business::MarriageRegistration),
        Some(Details::DisabilitySubsidy(_)) => Some(Business::DisabilitySubsidy),
        Some(Details::ChildRecognition(_)) => Some(Business::ChildRecognition),
        Some(Details::DivorceRegistration(_)) => Some(Business::DivorceRegistration),
        Some(Details::OldAgeAllowance(_)) => Some(Business::OldAgeAllowance),
        Some(Details::SocialAssistance(_)) => Some(Business::SocialAssistance),
    }
}

/// The JSON name of the body's field: `marriageRegistration` …
fn body_field(business: Business) -> String {
    let mut name = String::new();
    for (index, word) in business.code().split('_').enumerate() {
        let (head, tail) = word.split_at(usize::from(index > 0));
        name.push_str(&head.to_ascii_uppercase());
        name.push_str(tail);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields that a business's own check refuses.
    pub(super) fn refused(
        check: fn(&pb::Application, &mut Violations),
        application: &pb::Application,
    ) -> Vec<String> {
        let mut out = Violations::default();
        check(application, &mut out);
        out.0.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_body_has_the_json_name_of_its_field() {
        assert_eq!(body_field(Business::MarriageRegistration), "marriageRegistration");
    }

    #[test]
    fn a_paper_held_elsewhere_is_named_by_a_uri_and_a_child_s_is_of_a_known_kind() {
        for good in ["https://files.example/1", "urn:uuid:1", "s3://bucket/1"] {
            assert!(is_uri(good), "{good}");
        }
        for bad in ["", "files/1", "C:", "://x", "https://a b", "1a:b"] {
            assert!(!is_uri(bad), "{bad}");
        }
        let named = |name: &str| [pb::Material { file_name: name.into(), ..Default::default() }];
        let child = Business::ChildRecognition;
        assert!(check_files(child, &named("户口簿.PDF")).is_empty());
        for bad in ["户口簿.exe", "户口簿", "pdf"] {
            assert_eq!(check_files(child, &named(bad))[0].field, "materials[0].fileName");
        }
        assert!(check_files(Business::DisabilitySubsidy, &named("授权委托书.txt")).is_empty());
    }

    #[test]
    fn the_body_must_be_that_of_the_business() {
        let mut application = pb::Application::default();
        application.set_business(Business::ChildRecognition);
        application.details = Some(Details::DisabilitySubsidy(pb::DisabilitySubsidy::default()));
        assert!(check(&application).iter().any(|violation| violation.field == "business"));
    }
}
