//! Marriage registration (结婚登记) and the re-issue of certificates (补领). Civil Code; 婚姻登记条例 (Decree 804, in force 2025-05-10).

use crate::{
    business::{
        Benefit, Rules, Travel, Violations,
        clock::{Length, Limit, Start},
        couple,
    },
    model::{
        lifecycle::NATIONWIDE_MARRIAGE,
        pb::{self, DeadlineKind, EventType, State, application::Details},
    },
};

pub(super) const RULES: Rules = Rules {
    machine: NATIONWIDE_MARRIAGE,
    travel: Travel::ToNationalHub,
    check,
    benefits,
    limits: LIMITS,
};

/// Statutory limits. Decided on the spot; a booking holds for its day.
const LIMITS: &[Limit] = &[
    Limit {
        kind: DeadlineKind::Appearance,
        length: Length::BookedDay,
        starts: Start::Accepted,
        stops: &[EventType::ApplicationAccepted],
        pauses: false,
        passing: Some((State::Booked, EventType::AppearanceMissed)),
        source: "预约当日有效 [P]",
    },
    couple::EVIDENCE,
];

fn body(application: &pb::Application) -> Option<&pb::MarriageRegistration> {
    match &application.details {
        Some(Details::MarriageRegistration(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    const FIELD: &str = "marriageRegistration";
    let Some(body) = body(application) else { return };
    let online = application.source() == pb::Source::Online;
    if online && body.booking_number.is_empty() {
        out.form(&format!("{FIELD}.bookingNumber"), "is required for a booking made online");
    }
    couple::check(FIELD, body.man.as_ref(), body.woman.as_ref(), out);
    if body.operation != "IA" && body.original_certificate_number.is_empty() {
        let field = format!("{FIELD}.originalCertificateNumber");
        out.form(&field, "is required for a re-issue; give the number of the lost certificate");
    }
}

/// One marriage at a time, and none while a divorce runs: both share the name. A certificate can
/// be issued again (补领) meanwhile.
fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(body) = body(application) else { return Vec::new() };
    let name = if body.operation == "IA" { "marital_status" } else { "certificate" };
    couple::each(name, body.man.as_ref(), body.woman.as_ref())
}
