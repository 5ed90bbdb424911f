//! The bodies of the forms, one for each business, in the words of the field.

use jiff::civil::Date;

use crate::sim::case::{Person, Representative};

#[derive(Clone, Debug)]
pub(super) struct Subsidy {
    pub action: String,
    /// Division that paid until then, for one who moved.
    pub previous: String,
    pub exit: String,
    pub kind: String,
    pub certificate: String,
    pub category: String,
    pub level: String,
    pub valid_to: Date,
    pub hardship: String,
    pub hardship_certificate: String,
    pub extremely_poor: bool,
    pub injury_fee: bool,
    pub orphan_allowance: bool,
    pub other_allowance: String,
    pub long_term_care: bool,
    pub statement: String,
    /// Year and month.
    pub last_paid: Option<Date>,
}

#[derive(Clone, Debug)]
pub(super) struct Parent {
    pub name: String,
    pub document_kind: String,
    pub document: String,
    pub circumstance: String,
    pub since: Option<Date>,
    pub proof: String,
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    pub action: String,
    pub previous: String,
    /// Year and month.
    pub last_paid: Option<Date>,
    pub kind: String,
    pub household: String,
    pub health: String,
    pub categories: Vec<String>,
    pub level: String,
    pub academic: String,
    pub schooling: String,
    pub boarding: bool,
    pub father: Parent,
    pub mother: Parent,
    pub consent: String,
    pub remark: String,
}

#[derive(Clone, Debug)]
pub(super) struct Spouse {
    pub person: Person,
    pub identity: String,
    pub document_kind: String,
    pub document: String,
    pub citizenship: String,
    pub marital: String,
    pub education: String,
    pub occupation: String,
}

#[derive(Clone, Debug)]
pub(super) struct Couple {
    pub operation: String,
    /// Booked online; they come later.
    pub booked: bool,
    pub man: Spouse,
    pub woman: Spouse,
    pub registry: String,
    pub registry_name: String,
    pub day: Date,
    pub declaration: String,
    pub photo: String,
    pub booking: String,
    pub old_certificate: String,
    pub reissue: String,
}

#[derive(Clone, Debug)]
pub(super) struct Divorce {
    pub man: Spouse,
    pub woman: Spouse,
    pub registry: String,
    pub registry_name: String,
    pub receipt: String,
    pub certificate: String,
    pub married_on: Date,
    pub in_china: bool,
    pub agreement: String,
    pub children: bool,
    pub capable: bool,
    /// One of the two withdraws within the cooling-off period.
    pub withdraws: bool,
}

#[derive(Clone, Debug)]
pub(super) struct OldAge {
    pub action: String,
    pub band: String,
    pub alive_on: Date,
    pub other_allowance: String,
    pub last_paid: Option<Date>,
    pub previous: String,
    pub exit: String,
    pub statement: String,
}

#[derive(Clone, Debug)]
pub(super) struct Assistance {
    pub action: String,
    pub kind: String,
    pub class: String,
    pub area: String,
    /// Name, number, relation.
    pub members: Vec<Representative>,
    pub income_fen: i64,
    pub savings_fen: i64,
    pub authorisation: String,
    pub cause: String,
    pub without: bool,
    pub statement: String,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Marriage(Box<Couple>),
    Subsidy(Box<Subsidy>),
    Child(Box<Child>),
    Divorce(Box<Divorce>),
    OldAge(Box<OldAge>),
    Assistance(Box<Assistance>),
}
