//! What a case says, as far as the regulation asks: taken from a form by who filled it in, read
//! from a document by who received it. Both must come to the same, whatever format it came in.

use jiff::civil::Date;

use crate::sim::{
    body::{Body, Parent, Spouse},
    case::{Business, Form, digest},
    voice::china,
};

/// One who is spoken of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Who {
    pub name: String,
    /// Citizen number, else that of the document shown.
    pub number: String,
    pub birth: String,
    pub address: String,
    /// Declared marital status (GB/T 2261.2), of couples.
    pub status: String,
}

/// A case in canonical words; what its business does not know is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// Day of acceptance.
    pub day: Option<Date>,
    /// County of the home.
    pub home: String,
    /// The applicant, or man and woman.
    pub people: Vec<Who>,
    pub account: String,
    /// Kind and digest of each paper.
    pub papers: Vec<(String, String)>,
    /// What else is said, by the words below.
    pub said: Vec<(&'static str, String)>,
}

/// The words of each business.
pub(super) const fn words(business: Business) -> &'static [&'static str] {
    match business {
        Business::Marriage => &["operation", "on", "present", "old certificate"],
        Business::Divorce => {
            &["receipt", "certificate", "in china", "children", "property", "capable", "present"]
        }
        Business::Subsidy => &[
            "action",
            "kind",
            "certificate",
            "category",
            "level",
            "valid to",
            "hardship",
            "tekun",
            "injury",
            "orphan",
            "other",
            "care",
            "previous",
            "last paid",
            "exit",
        ],
        Business::Child => &[
            "action",
            "previous",
            "last paid",
            "kind",
            "household",
            "stage",
            "father",
            "father proof",
            "father since",
            "mother",
            "mother proof",
            "mother since",
        ],
        Business::OldAge => {
            &["action", "band", "other", "alive on", "previous", "last paid", "exit"]
        }
        Business::Assistance => {
            &["action", "kind", "income", "savings", "heads", "authorised", "without"]
        }
    }
}

impl Claim {
    /// What `ask` says for each word of the business.
    pub(super) fn read(business: Business, ask: &dyn Fn(&'static str) -> String) -> Self {
        let said = words(business).iter().map(|word| (*word, ask(word))).collect();
        Self { said, ..Self::default() }
    }

    /// What is said under that word; empty for nothing.
    pub(super) fn get(&self, word: &str) -> &str {
        self.said.iter().find(|said| said.0 == word).map_or("", |said| &said.1)
    }

    pub(super) fn yes(&self, word: &str) -> bool {
        self.get(word) == "1"
    }

    pub(super) fn date(&self, word: &str) -> Option<Date> {
        self.get(word).parse().ok()
    }

    pub(super) fn amount(&self, word: &str) -> i64 {
        self.get(word).parse().unwrap_or_default()
    }

    pub(super) fn has_paper(&self, kind: &str) -> bool {
        self.papers.iter().any(|paper| paper.0 == kind)
    }

    /// Digest of all of it, so that books hold nothing personal.
    pub(super) fn facts(&self) -> String {
        digest(&[format!("{self:?}")])
    }

    pub(super) fn of(form: &Form) -> Self {
        let people = match &form.body {
            Body::Marriage(couple) => vec![who(&couple.man), who(&couple.woman)],
            Body::Divorce(couple) => vec![who(&couple.man), who(&couple.woman)],
            _ => form
                .applicant
                .iter()
                .map(|person| Who {
                    name: person.name.clone(),
                    number: person.id.clone(),
                    birth: person.birth.to_string(),
                    address: person.registered.address.clone(),
                    status: String::new(),
                })
                .collect(),
        };
        let account = form.account.as_ref().map(|account| account.number.clone());
        let papers = form.papers.iter().map(|paper| (paper.kind.clone(), paper.digest.clone()));
        Self {
            day: Some(china(form.accepted_at).date()),
            home: form.home.get(..6).unwrap_or_default().to_owned(),
            people,
            account: account.unwrap_or_default(),
            papers: papers.collect(),
            ..Self::read(form.business(), &|word| said(form, word))
        }
    }
}

fn who(spouse: &Spouse) -> Who {
    let person = &spouse.person;
    let number = if person.id.is_empty() { &spouse.document } else { &person.id };
    Who {
        name: person.name.clone(),
        number: number.clone(),
        birth: person.birth.to_string(),
        address: person.registered.address.clone(),
        status: spouse.marital.clone(),
    }
}

fn said(form: &Form, word: &str) -> String {
    let yes = |yes: bool| if yes { "1" } else { "0" }.to_owned();
    let month = |date: Option<Date>| date.map(|date| date.strftime("%Y-%m").to_string());
    match (&form.body, word) {
        (Body::Marriage(couple), "operation") => couple.operation.clone(),
        (Body::Marriage(couple), "on") => couple.day.to_string(),
        // A booking rests with the gateway until both have come.
        (Body::Marriage(_), "present") => yes(true),
        (Body::Marriage(couple), "old certificate") => couple.old_certificate.clone(),
        (Body::Divorce(couple), "receipt") => couple.receipt.clone(),
        (Body::Divorce(couple), "certificate") => couple.certificate.clone(),
        (Body::Divorce(couple), "in china") => yes(couple.in_china),
        (Body::Divorce(couple), "children") => yes(couple.children),
        (Body::Divorce(couple), "capable") => yes(couple.capable),
        (Body::Divorce(_), "property" | "present") => yes(true),
        (Body::Subsidy(body), "action") => body.action.clone(),
        (Body::Subsidy(body), "kind") => body.kind.clone(),
        (Body::Subsidy(body), "certificate") => body.certificate.clone(),
        (Body::Subsidy(body), "category") => body.category.clone(),
        (Body::Subsidy(body), "level") => body.level.clone(),
        (Body::Subsidy(body), "valid to") => body.valid_to.to_string(),
        (Body::Subsidy(body), "hardship") => body.hardship.clone(),
        (Body::Subsidy(body), "tekun") => yes(body.extremely_poor),
        (Body::Subsidy(body), "injury") => yes(body.injury_fee),
        (Body::Subsidy(body), "orphan") => yes(body.orphan_allowance),
        (Body::Subsidy(body), "other") => body.other_allowance.clone(),
        (Body::Subsidy(body), "care") => yes(body.long_term_care),
        (Body::Subsidy(body), "previous") => body.previous.clone(),
        (Body::Subsidy(body), "last paid") => month(body.last_paid).unwrap_or_default(),
        (Body::Subsidy(body), "exit") => body.exit.clone(),
        (Body::Child(body), "action") => body.action.clone(),
        (Body::Child(body), "previous") => body.previous.clone(),
        (Body::Child(body), "last paid") => month(body.last_paid).unwrap_or_default(),
        (Body::Child(body), "kind") => body.kind.clone(),
        (Body::Child(body), "household") => body.household.clone(),
        (Body::Child(body), "stage") => body.academic.clone(),
        (Body::Child(body), word) => match word.split_once(' ') {
            None if word == "father" => body.father.circumstance.clone(),
            None => body.mother.circumstance.clone(),
            Some(("father", what)) => of_parent(&body.father, what),
            Some((_, what)) => of_parent(&body.mother, what),
        },
        (Body::OldAge(body), "action") => body.action.clone(),
        (Body::OldAge(body), "band") => body.band.clone(),
        (Body::OldAge(body), "other") => body.other_allowance.clone(),
        (Body::OldAge(body), "alive on") => body.alive_on.to_string(),
        (Body::OldAge(body), "previous") => body.previous.clone(),
        (Body::OldAge(body), "last paid") => month(body.last_paid).unwrap_or_default(),
        (Body::OldAge(body), "exit") => body.exit.clone(),
        (Body::Assistance(body), "action") => body.action.clone(),
        (Body::Assistance(body), "kind") => body.kind.clone(),
        (Body::Assistance(body), "income") => body.income_fen.to_string(),
        (Body::Assistance(body), "savings") => body.savings_fen.to_string(),
        (Body::Assistance(body), "heads") => (body.members.len() + 1).to_string(),
        (Body::Assistance(body), "authorised") => body.authorisation.clone(),
        (Body::Assistance(body), "without") => yes(body.without),
        _ => String::new(),
    }
}

fn of_parent(parent: &Parent, what: &str) -> String {
    match what {
        "proof" => parent.proof.clone(),
        _ => parent.since.map(|since| since.to_string()).unwrap_or_default(),
    }
}

/// The code list that a word's value is from; empty for a value that is no code.
pub(super) fn list_of(business: Business, word: &str) -> &'static str {
    match (business, word) {
        (Business::Marriage, "operation") => "marriage_operation",
        (Business::Subsidy, "kind") => "subsidy_kind",
        (Business::Child, "kind") => "child_kind",
        (Business::Assistance, "kind") => "assistance_kind",
        (_, "action") => "benefit_action",
        (_, "category") => "disability_category",
        (_, "level") => "disability_level",
        (_, "hardship") => "hardship_kind",
        (_, "other") => "other_allowance",
        (_, "exit") => "exit_reason",
        (_, "household") => "household_kind",
        (_, "band") => "age_band",
        (_, "father" | "mother") => "parent_circumstance",
        (_, "father proof" | "mother proof") => "material",
        _ => "",
    }
}
