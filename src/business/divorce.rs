//! Divorce registration by agreement (离婚登记). Civil Code art. 1076-1078; 民发〔2020〕116号;
//! 婚姻登记条例 (Decree 804).

use crate::{
    business::{
        Benefit, Rules, Travel, Violations,
        clock::{Length, Limit, Start},
        couple,
    },
    model::{
        lifecycle::NATIONWIDE_DIVORCE,
        pb::{self, DeadlineKind, EventType, State, application::Details},
    },
};

pub(super) const RULES: Rules = Rules {
    machine: NATIONWIDE_DIVORCE,
    travel: Travel::ToNationalHub,
    check,
    benefits,
    limits: LIMITS,
};

/// Statutory limits. Both ends move off rest days.
const LIMITS: &[Limit] = &[
    Limit {
        kind: DeadlineKind::CoolingOff,
        length: Length::Days(30),
        starts: Start::Accepted,
        stops: &[],
        pauses: false,
        passing: Some((State::Cooling, EventType::CoolingEnded)),
        source: "民法典第一千零七十七条；民发〔2020〕116号",
    },
    Limit {
        kind: DeadlineKind::Collection,
        length: Length::Days(30),
        starts: Start::After(DeadlineKind::CoolingOff, EventType::CoolingEnded),
        stops: &[EventType::DecisionMade],
        pauses: false,
        passing: Some((State::Collectable, EventType::CollectionLapsed)),
        source: "民法典第一千零七十七条；民发〔2020〕116号",
    },
    couple::EVIDENCE,
];

fn body(application: &pb::Application) -> Option<&pb::DivorceRegistration> {
    match &application.details {
        Some(Details::DivorceRegistration(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    const FIELD: &str = "divorceRegistration";
    let Some(body) = body(application) else { return };
    if application.source() == pb::Source::Online {
        out.form("source", "must be WINDOW: a divorce is applied for in person");
    }
    couple::check(FIELD, body.man.as_ref(), body.woman.as_ref(), out);
}

/// The name is that of marriage: while the cooling-off period runs, neither may marry, nor may
/// the two apply for a divorce elsewhere.
fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(body) = body(application) else { return Vec::new() };
    couple::each("marital_status", body.man.as_ref(), body.woman.as_ref())
}
