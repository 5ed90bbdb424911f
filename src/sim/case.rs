//! What the simulators speak of among themselves: a filled-in form, what happens to a case, what
//! was decided. Each voice writes these in its own system's words.

use jiff::{Timestamp, civil::Date};
use serde::Serialize;

pub(super) use crate::sim::body::{
    Assistance, Body, Child, Couple, Divorce, OldAge, Parent, Spouse, Subsidy,
};
use crate::{model::trace::TraceContext, sim::claim::Claim};

/// What is applied for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Business {
    #[serde(rename = "marriage_registration")]
    Marriage,
    #[serde(rename = "disability_subsidy")]
    Subsidy,
    #[serde(rename = "child_recognition")]
    Child,
    #[serde(rename = "divorce_registration")]
    Divorce,
    #[serde(rename = "old_age_allowance")]
    OldAge,
    #[serde(rename = "social_assistance")]
    Assistance,
}

impl Business {
    pub(super) const ALL: [Self; 6] =
        [Self::Marriage, Self::Subsidy, Self::Child, Self::Divorce, Self::OldAge, Self::Assistance];

    /// Whether couples come for it: the hub checks, the registry decides.
    pub(super) const fn of_couples(self) -> bool {
        matches!(self, Self::Marriage | Self::Divorce)
    }

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Marriage => "marriage_registration",
            Self::Subsidy => "disability_subsidy",
            Self::Child => "child_recognition",
            Self::Divorce => "divorce_registration",
            Self::OldAge => "old_age_allowance",
            Self::Assistance => "social_assistance",
        }
    }

    pub(super) fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|business| business.code() == code)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub division: String,
    pub address: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    pub name: String,
    pub id: String,
    pub sex: String,
    pub birth: Date,
    pub ethnicity: String,
    pub phone: String,
    pub registered: Place,
    pub residence: Place,
}

/// A guardian or agent.
#[derive(Clone, Debug)]
pub(super) struct Representative {
    pub name: String,
    pub id: String,
    pub relation: String,
    pub phone: String,
    pub address: String,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub bank: String,
    pub holder: String,
    pub number: String,
}

#[derive(Clone, Debug)]
pub(super) struct Paper {
    pub kind: String,
    pub file: String,
    pub size: usize,
    pub digest: String,
    pub location: String,
    pub content: Vec<u8>,
}

/// A filled-in form.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// The submitting system's own number for the case.
    pub number: String,
    pub accepted_in: String,
    pub office: String,
    pub home: String,
    pub online: bool,
    pub accepted_at: Timestamp,
    pub complete_at: Timestamp,
    pub applicant: Option<Person>,
    pub guardian: Option<Representative>,
    pub agent: Option<Representative>,
    pub account: Option<Account>,
    pub papers: Vec<Paper>,
    pub body: Body,
}

impl Form {
    pub(super) const fn business(&self) -> Business {
        match self.body {
            Body::Marriage(_) => Business::Marriage,
            Body::Subsidy(_) => Business::Subsidy,
            Body::Child(_) => Business::Child,
            Body::Divorce(_) => Business::Divorce,
            Body::OldAge(_) => Business::OldAge,
            Body::Assistance(_) => Business::Assistance,
        }
    }

    /// What is asked for of a benefit: 1 to pay it, 6 to move it, and so on; empty for 1.
    pub(super) fn action(&self) -> &str {
        match &self.body {
            Body::Subsidy(body) => &body.action,
            Body::OldAge(body) => &body.action,
            Body::Child(body) => &body.action,
            Body::Assistance(body) => &body.action,
            Body::Marriage(_) | Body::Divorce(_) => "",
        }
    }
}

/// Digest of facts, so that books hold nothing personal.
pub(super) fn digest(facts: &[String]) -> String {
    let text = facts.join("\n");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

/// What happens to a case between the parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Accepted,
    SupplementRequested,
    SupplementSubmitted,
    Decided,
    Withdrawn,
    CheckPassed,
    CheckConflict,
    ArchiveAsked,
    CoolingEnded,
    CollectionLapsed,
    /// The township gave its opinion and reported to the county.
    Reviewed,
    /// What was asked for did not come in time.
    Expired,
    /// The booked couple did not come.
    Absent,
    /// A court annulled the marriage.
    Annulled,
    /// Somebody asked for the same a second time and was refused.
    ToldTwice,
    /// Who paid until now is told not to.
    PaysNoLonger,
    /// Anything else the gateway tells.
    Other,
}

impl Happening {
    /// The word it has in the books.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::SupplementRequested => "SUPPLEMENT_REQUESTED",
            Self::SupplementSubmitted => "SUPPLEMENT_SUBMITTED",
            Self::Decided => "DECISION",
            Self::Withdrawn => "WITHDRAWN",
            Self::CheckPassed => "CHECK_PASSED",
            Self::CheckConflict => "CHECK_CONFLICT",
            Self::ArchiveAsked => "ARCHIVE_ASKED",
            Self::CoolingEnded => "COOLING_ENDED",
            Self::CollectionLapsed => "COLLECTION_LAPSED",
            Self::Reviewed => "REVIEWED",
            Self::Expired => "EXPIRED",
            Self::Absent => "ABSENT",
            Self::Annulled => "ANNULLED",
            Self::ToldTwice => "TOLD_TWICE",
            Self::PaysNoLonger => "PAYS_NO_LONGER",
            Self::Other => "OTHER",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub granted: bool,
    pub day: Date,
    pub office: String,
    pub document: String,
    pub reason_code: String,
    pub reason: String,
    pub amount_fen: i64,
    /// Year and month.
    pub paid_from: Option<Date>,
    pub certificate: String,
}

impl Decision {
    pub(super) fn facts(&self) -> String {
        let granted = self.granted.to_string();
        let (day, document) = (self.day.to_string(), self.document.clone());
        digest(&[granted, day, document, self.certificate.clone(), self.reason.clone()])
    }
}

/// An event as a party reports it.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub business: Business,
    /// The submitting system's number for the case.
    pub number: String,
    pub application: String,
    /// Areas for the envelope.
    pub accepted_in: String,
    pub home: String,
    pub what: Happening,
    pub reason: String,
    pub missing: Vec<String>,
    pub papers: Vec<Paper>,
    pub decision: Option<Decision>,
    /// Of the withdrawal of a divorce: who of the two, and the receipt that they show.
    pub withdrawal: Option<Withdrawal>,
    pub trace: TraceContext,
}

/// Either of the two may withdraw alone (Civil Code art. 1077), with the receipt (民发〔2020〕116号).
#[derive(Clone, Debug)]
pub(super) struct Withdrawal {
    pub by: By,
    pub receipt: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Man,
    Woman,
    Both,
}

/// What a message that was received holds, as far as the simulator needs it.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The message number.
    pub message: String,
    pub business: Business,
    pub number: String,
    pub application: String,
    pub accepted_in: String,
    pub home: String,
    pub content: Content,
    /// The trace it came with, which what follows from it goes on.
    pub trace: TraceContext,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A case to handle, or a couple to check.
    Application(Box<Claim>),
    /// The result of a marriage registration.
    Result { decision: String, certificate: String },
    Event {
        what: Happening,
        granted: bool,
        decision: String,
        /// Kinds of paper that are asked for.
        missing: Vec<String>,
        /// Kinds of paper that came with it.
        papers: Vec<String>,
    },
}
