//! The neighbouring province on the canonical API: documents written as its own developers would
//! from the published description, REST with JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::sim::{
    case::{
        Assistance, Body, By, Child, Couple, Decision, Divorce, Form, Happening, OldAge, Paper,
        Parent, Person, Place, Report, Representative, Spouse, Subsidy,
    },
    json::{Object, each, text},
    voice::{Call, JSON, Said, day, rfc3339},
};

pub(super) fn submission(form: &Form, key: &str) -> Call {
    call("/v1/applications".into(), key, &application(form).into())
}

/// The call of a report; `None` for what only its own format can say.
pub(super) fn report(report: &Report, key: &str) -> Option<Call> {
    let id = &report.application;
    let materials = || report.papers.iter().map(paper).collect::<Vec<Value>>();
    let (verb, body) = match report.what {
        Happening::Accepted => ("accept", Object::new()),
        Happening::SupplementRequested => (
            "requestSupplement",
            Object::new()
                .value("missingMaterials", report.missing.clone())
                .text("reason", &report.reason),
        ),
        Happening::SupplementSubmitted => (
            "supplement",
            Object::new().value("materials", materials()).text("note", &report.reason),
        ),
        Happening::Withdrawn => ("withdraw", withdrawal(report)),
        Happening::Decided => {
            ("decide", Object::new().value("decision", report.decision.as_ref().map(decision)))
        }
        _ => return None,
    };
    Some(call(format!("/v1/applications/{id}:{verb}"), key, &body.into()))
}

pub(super) fn said(status: u16, body: &[u8]) -> Said {
    let Ok(reply) = serde_json::from_slice::<Value>(body) else { return Said::Unclear };
    match status {
        200 | 201 => Said::Done(text(&reply, "id"), each(&reply, "checks", "rule")),
        400..=499 => {
            let reason = text(&reply, "reason");
            if reason.is_empty() { Said::Unclear } else { Said::Refused(reason) }
        }
        _ => Said::Unclear,
    }
}

fn withdrawal(report: &Report) -> Object {
    let object = Object::new().text("reason", &report.reason);
    let Some(withdrawal) = &report.withdrawal else { return object };
    let by = match withdrawal.by {
        By::Man => "MAN",
        By::Woman => "WOMAN",
        By::Both => "BOTH",
    };
    object.text("withdrawnBy", by).text("receiptNumber", &withdrawal.receipt)
}

fn call(path: String, key: &str, body: &Value) -> Call {
    Call { path, content_type: JSON, key: Some(key.into()), body: body.to_string().into_bytes() }
}

fn application(form: &Form) -> Object {
    let object = Object::new()
        .text("acceptanceNumber", &form.number)
        .text("acceptingDivision", &form.accepted_in)
        .text("acceptingOffice", &form.office)
        .text("homeDivision", &form.home)
        .text("source", if form.online { "ONLINE" } else { "WINDOW" })
        .text("acceptTime", rfc3339(form.accepted_at))
        .text("completeTime", rfc3339(form.complete_at))
        .value("applicant", form.applicant.as_ref().map(person))
        .value("guardian", form.guardian.as_ref().map(representative))
        .value("agent", form.agent.as_ref().map(representative));
    let account = form.account.as_ref().map(|account| {
        json!({
            "bankName": account.bank,
            "accountName": account.holder,
            "accountNumber": account.number,
        })
    });
    let materials: Vec<Value> = form.papers.iter().map(paper).collect();
    let object = object.value("bankAccount", account).value("materials", materials);
    match &form.body {
        Body::Marriage(couple) => object
            .text("business", "MARRIAGE_REGISTRATION")
            .value("marriageRegistration", marriage(couple)),
        Body::Subsidy(body) => {
            object.text("business", "DISABILITY_SUBSIDY").value("disabilitySubsidy", subsidy(body))
        }
        Body::Divorce(couple) => object
            .text("business", "DIVORCE_REGISTRATION")
            .value("divorceRegistration", divorce(couple)),
        Body::OldAge(body) => {
            object.text("business", "OLD_AGE_ALLOWANCE").value("oldAgeAllowance", old_age(body))
        }
        Body::Assistance(body) => {
            object.text("business", "SOCIAL_ASSISTANCE").value("socialAssistance", assistance(body))
        }
        Body::Child(body) => {
            object.text("business", "CHILD_RECOGNITION").value("childRecognition", child(body))
        }
    }
}

fn paper(paper: &Paper) -> Value {
    Object::new()
        .text("kind", &paper.kind)
        .text("fileName", &paper.file)
        .text("sizeBytes", paper.size.to_string())
        .text("sha256", &paper.digest)
        .text("reference", &paper.location)
        .text("content", STANDARD.encode(&paper.content))
        .into()
}

fn person(person: &Person) -> Value {
    Object::new()
        .text("name", &person.name)
        .text("residentId", &person.id)
        .text("sex", &person.sex)
        .text("birthDate", person.birth.to_string())
        .text("ethnicity", &person.ethnicity)
        .text("phone", &person.phone)
        .value("registeredPlace", place(&person.registered))
        .value("residence", place(&person.residence))
        .into()
}

fn place(place: &Place) -> Value {
    json!({ "division": place.division, "address": place.address })
}

fn representative(who: &Representative) -> Value {
    json!({
        "name": who.name,
        "residentId": who.id,
        "relation": who.relation,
        "phone": who.phone,
        "address": who.address,
    })
}

fn subsidy(subsidy: &Subsidy) -> Value {
    Object::new()
        .text("subsidyKind", &subsidy.kind)
        .text("certificateNumber", &subsidy.certificate)
        .text("category", &subsidy.category)
        .text("level", &subsidy.level)
        .text("certificateValidTo", subsidy.valid_to.to_string())
        .text("hardshipKind", &subsidy.hardship)
        .text("hardshipCertificateNumber", &subsidy.hardship_certificate)
        .value("extremelyPoorSupport", subsidy.extremely_poor)
        .value("workInjuryNursingFee", subsidy.injury_fee)
        .value("orphanAllowance", subsidy.orphan_allowance)
        .value("childAllowance", false)
        .text("otherAllowance", &subsidy.other_allowance)
        .value("longTermCare", subsidy.long_term_care)
        .text("statement", &subsidy.statement)
        .text("lastPaidMonth", day(subsidy.last_paid, "%Y-%m"))
        .text("action", &subsidy.action)
        .text("previousDivision", &subsidy.previous)
        .text("exitReason", &subsidy.exit)
        .into()
}

fn old_age(old: &OldAge) -> Value {
    Object::new()
        .text("action", &old.action)
        .text("ageBand", &old.band)
        .text("aliveOn", old.alive_on.to_string())
        .text("otherAllowance", &old.other_allowance)
        .text("lastPaidMonth", day(old.last_paid, "%Y-%m"))
        .text("previousDivision", &old.previous)
        .text("exitReason", &old.exit)
        .text("statement", &old.statement)
        .into()
}

fn assistance(need: &Assistance) -> Value {
    let member = |who: &Representative| json!({ "name": who.name, "residentId": who.id, "relation": who.relation });
    Object::new()
        .text("action", &need.action)
        .text("kind", &need.kind)
        .text("lowIncomeClass", &need.class)
        .text("areaKind", &need.area)
        .value("members", need.members.iter().map(member).collect::<Vec<Value>>())
        .text("monthlyIncomeFen", need.income_fen.to_string())
        .text("savingsFen", need.savings_fen.to_string())
        .text("authorisationNumber", &need.authorisation)
        .text("hardshipCause", &need.cause)
        .value("withoutMeansOrSupport", need.without)
        .text("statement", &need.statement)
        .into()
}

fn divorce(couple: &Divorce) -> Value {
    Object::new()
        .value("man", spouse(&couple.man))
        .value("woman", spouse(&couple.woman))
        .text("registryCode", &couple.registry)
        .text("registryName", &couple.registry_name)
        .text("receiptNumber", &couple.receipt)
        .value("bothPresent", true)
        .text("marriageCertificateNumber", &couple.certificate)
        .text("marriedOn", couple.married_on.to_string())
        .value("registeredInChina", couple.in_china)
        .text("agreementSha256", &couple.agreement)
        .value("agreementOnChildren", couple.children)
        .value("agreementOnProperty", true)
        .value("bothCapable", couple.capable)
        .into()
}

fn child(child: &Child) -> Value {
    Object::new()
        .text("action", &child.action)
        .text("previousDivision", &child.previous)
        .text("lastPaidMonth", day(child.last_paid, "%Y-%m"))
        .text("childKind", &child.kind)
        .text("householdKind", &child.household)
        .text("healthStatus", &child.health)
        .value("disabilityCategories", child.categories.clone())
        .text("disabilityLevel", &child.level)
        .text("academicStatus", &child.academic)
        .text("schooling", &child.schooling)
        .value("boarding", child.boarding)
        .value("father", parent(&child.father))
        .value("mother", parent(&child.mother))
        .text("consentNumber", &child.consent)
        .text("remark", &child.remark)
        .into()
}

fn parent(parent: &Parent) -> Value {
    Object::new()
        .text("name", &parent.name)
        .text("documentKind", &parent.document_kind)
        .text("documentNumber", &parent.document)
        .text("circumstance", &parent.circumstance)
        .text("since", day(parent.since, "%Y-%m-%d"))
        .text("proof", &parent.proof)
        .into()
}

fn marriage(couple: &Couple) -> Value {
    Object::new()
        .text("operation", &couple.operation)
        .value("man", spouse(&couple.man))
        .value("woman", spouse(&couple.woman))
        .text("registryCode", &couple.registry)
        .text("registryName", &couple.registry_name)
        .text("registrationDate", couple.day.to_string())
        .value("bothPresent", !couple.booked)
        .text("declarationSha256", &couple.declaration)
        .text("photoSha256", &couple.photo)
        .text("bookingNumber", &couple.booking)
        .text("originalCertificateNumber", &couple.old_certificate)
        .text("reissueReason", &couple.reissue)
        .into()
}

fn spouse(spouse: &Spouse) -> Value {
    Object::new()
        .value("person", person(&spouse.person))
        .text("identityKind", &spouse.identity)
        .text("documentKind", &spouse.document_kind)
        .text("documentNumber", &spouse.document)
        .text("citizenship", &spouse.citizenship)
        .text("maritalStatus", &spouse.marital)
        .text("education", &spouse.education)
        .text("occupation", &spouse.occupation)
        .into()
}

fn decision(decision: &Decision) -> Value {
    Object::new()
        .text("outcome", if decision.granted { "GRANTED" } else { "DENIED" })
        .text("decidedOn", decision.day.to_string())
        .text("office", &decision.office)
        .text("documentNumber", &decision.document)
        .text("reasonCode", &decision.reason_code)
        .text("reason", &decision.reason)
        .text("monthlyAmountFen", decision.amount_fen.to_string())
        .text("paidFrom", day(decision.paid_from, "%Y-%m"))
        .text("certificateNumber", &decision.certificate)
        .into()
}
