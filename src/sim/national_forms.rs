//! The hub's application forms: what it pushes for other provinces' windows.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::sim::{
    case::{
        Assistance, Child, Couple, Form, OldAge, Paper, Parent, Representative, Spouse, Subsidy,
    },
    cycle::Writing,
    json::Object,
    voice::{day, rfc3339},
};

pub(super) fn papers(writing: &Writing, papers: &[Paper], kind: &str) -> Value {
    let paper = |paper: &Paper| {
        Object::new()
            .text(kind, writing.code("material", &paper.kind))
            .text(if kind == "kind" { "file_name" } else { "fileName" }, &paper.file)
            .value(if kind == "kind" { "file_size" } else { "fileSize" }, paper.size)
            .text("sha256", &paper.digest)
            .text("url", &paper.location)
            .text("content", STANDARD.encode(&paper.content))
            .into()
    };
    Value::Array(papers.iter().map(paper).collect())
}

pub(super) fn subsidy(writing: &Writing, form: &Form, subsidy: &Subsidy) -> Object {
    let code = |list: &str, code: &str| writing.code(list, code);
    let yes = |yes: bool| if yes { "1" } else { "0" };
    let object = whole_case(writing, form)
        .text("apply_type", code("subsidy_kind", &subsidy.kind))
        .text("disability_cert_no", &subsidy.certificate)
        .text("disability_category", code("disability_category", &subsidy.category))
        .text("disability_level", code("disability_level", &subsidy.level))
        .text("cert_valid_to", subsidy.valid_to.to_string())
        .text("hardship_type", code("hardship_kind", &subsidy.hardship))
        .text("hardship_cert_no", &subsidy.hardship_certificate)
        .text("is_tekun", yes(subsidy.extremely_poor))
        .text("is_work_injury", yes(subsidy.injury_fee))
        .text("is_orphan", yes(subsidy.orphan_allowance))
        .text("is_child_allowance", yes(false))
        .text("other_allowance", code("other_allowance", &subsidy.other_allowance))
        .text("is_long_care", yes(subsidy.long_term_care))
        .text("apply_reason", &subsidy.statement)
        .text("end_get_month", day(subsidy.last_paid, "%Y-%m"))
        .text("apply_action", code("benefit_action", &subsidy.action))
        .text("prev_area", &subsidy.previous)
        .text("exit_reason", code("exit_reason", &subsidy.exit));
    with_others(writing, form, object)
}

pub(super) fn old_age(writing: &Writing, form: &Form, old: &OldAge) -> Object {
    let object = whole_case(writing, form)
        .text("age_band", writing.code("age_band", &old.band))
        .text("apply_action", writing.code("benefit_action", &old.action))
        .text("alive_date", old.alive_on.to_string())
        .text("other_allowance", writing.code("other_allowance", &old.other_allowance))
        .text("end_get_month", day(old.last_paid, "%Y-%m"))
        .text("prev_area", &old.previous)
        .text("exit_reason", writing.code("exit_reason", &old.exit))
        .text("apply_reason", &old.statement);
    with_others(writing, form, object)
}

pub(super) fn assistance(writing: &Writing, form: &Form, need: &Assistance) -> Object {
    let member = |who: &Representative| {
        Value::from(
            Object::new()
                .text("name", &who.name)
                .text("id_card", &who.id)
                .text("relation", writing.code("relation", &who.relation)),
        )
    };
    let object = whole_case(writing, form)
        .text("apply_action", writing.code("benefit_action", &need.action))
        .text("assist_type", writing.code("assistance_kind", &need.kind))
        .text("low_income_type", writing.code("low_income_class", &need.class))
        .text("area_type", writing.code("area_kind", &need.area))
        .value("month_income_fen", need.income_fen)
        .value("savings_fen", need.savings_fen)
        .text("auth_no", &need.authorisation)
        .text("poor_reason", writing.code("hardship_cause", &need.cause))
        .text("is_three_no", if need.without { "1" } else { "0" })
        .text("apply_reason", &need.statement)
        .value("family_members", need.members.iter().map(member).collect::<Vec<Value>>());
    with_others(writing, form, object)
}

/// The case and the applicant, as every benefit but the children's has them.
fn whole_case(writing: &Writing, form: &Form) -> Object {
    let code = |list: &str, code: &str| writing.code(list, code);
    let applicant = form.applicant.clone().unwrap_or_default();
    Object::new()
        .text("accept_no", &form.number)
        .text("accept_area", &form.accepted_in)
        .text("accept_org", &form.office)
        .text("home_area", &form.home)
        .text("source", if form.online { "2" } else { "1" })
        .text("accept_time", rfc3339(form.accepted_at))
        .text("complete_time", rfc3339(form.complete_at))
        .text("name", applicant.name)
        .text("id_card", applicant.id)
        .text("sex", code("sex", &applicant.sex))
        .text("birth_date", applicant.birth.to_string())
        .text("nation", code("ethnicity", &applicant.ethnicity))
        .text("phone", applicant.phone)
        .text("huji_code", applicant.registered.division)
        .text("huji_addr", applicant.registered.address)
        .text("live_code", applicant.residence.division)
        .text("live_addr", applicant.residence.address)
}

/// The guardian, the agent, the account and the papers.
fn with_others(writing: &Writing, form: &Form, mut object: Object) -> Object {
    let code = |list: &str, code: &str| writing.code(list, code);
    for (name, who) in [("guardian", &form.guardian), ("agent", &form.agent)] {
        let Some(who) = who else { continue };
        object = object
            .text(&format!("{name}_name"), &who.name)
            .text(&format!("{name}_id_card"), &who.id)
            .text(&format!("{name}_relation"), code("relation", &who.relation))
            .text(&format!("{name}_phone"), &who.phone)
            .text(&format!("{name}_addr"), &who.address);
    }
    if let Some(account) = &form.account {
        object = object
            .text("bank_name", &account.bank)
            .text("account_name", &account.holder)
            .text("account_no", &account.number);
    }
    object.value("materials", papers(writing, &form.papers, "kind"))
}

pub(super) fn child(writing: &Writing, form: &Form, child: &Child) -> Object {
    let code = |list: &str, code: &str| writing.code(list, code);
    let applicant = form.applicant.clone().unwrap_or_default();
    let categories: Vec<Value> =
        child.categories.iter().map(|c| code("disability_category", c).into()).collect();
    let account = form.account.as_ref().map(|account| {
        Object::new()
            .text("bankName", &account.bank)
            .text("accountName", &account.holder)
            .text("accountNo", &account.number)
    });
    Object::new()
        .text("acceptNo", &form.number)
        .text("acceptArea", &form.accepted_in)
        .text("acceptOrg", &form.office)
        .text("homeArea", &form.home)
        .text("source", if form.online { "2" } else { "1" })
        .text("acceptTime", rfc3339(form.accepted_at))
        .text("completeTime", rfc3339(form.complete_at))
        .text("name", applicant.name)
        .text("idCard", applicant.id)
        .text("sex", code("sex", &applicant.sex))
        .text("birthday", applicant.birth.to_string())
        .text("nation", code("ethnicity", &applicant.ethnicity))
        .text("phone", applicant.phone)
        .text("censusRegister", applicant.registered.division)
        .text("censusRegisterDetail", applicant.registered.address)
        .text("currentAddress", applicant.residence.division)
        .text("currentAddressDetail", applicant.residence.address)
        .text("applyAction", code("benefit_action", &child.action))
        .text("prevArea", &child.previous)
        .text("endGetDate", day(child.last_paid, "%Y-%m"))
        .text("childType", code("child_kind", &child.kind))
        .text("householdType", code("household_kind", &child.household))
        .text("healthStatus", code("health_status", &child.health))
        .value("disabledType", categories)
        .text("disabledLevel", code("disability_level", &child.level))
        .text("academicStatus", code("academic_status", &child.academic))
        .text("goSchoolStatus", code("schooling", &child.schooling))
        .text("isBoardingSchool", if child.boarding { "1" } else { "0" })
        .text("consentNo", &child.consent)
        .text("remark", &child.remark)
        .value("father", parent(writing, &child.father))
        .value("mother", parent(writing, &child.mother))
        .value("guardian", form.guardian.as_ref().map(|who| representative(writing, who)))
        .value("agent", form.agent.as_ref().map(|who| representative(writing, who)))
        .value("bank", account.map(Value::from))
        .value("attachments", papers(writing, &form.papers, "fileType"))
}

fn parent(writing: &Writing, parent: &Parent) -> Value {
    Object::new()
        .text("name", &parent.name)
        .text("idType", writing.code("document", &parent.document_kind))
        .text("idCard", &parent.document)
        .text("situation", writing.code("parent_circumstance", &parent.circumstance))
        .text("sinceDate", day(parent.since, "%Y-%m-%d"))
        .text("proof", writing.code("material", &parent.proof))
        .into()
}

fn representative(writing: &Writing, who: &Representative) -> Value {
    Object::new()
        .text("name", &who.name)
        .text("idCard", &who.id)
        .text("relation", writing.code("relation", &who.relation))
        .text("phone", &who.phone)
        .text("address", &who.address)
        .into()
}

/// A request to the registry that issued a lost certificate, for its archive.
pub(super) fn marriage(writing: &Writing, form: &Form, couple: &Couple) -> Object {
    let mut object = Object::new()
        .text("accept_no", &form.number)
        .text("accept_area", &form.accepted_in)
        .text("accept_org", &form.office)
        .text("source", "1")
        .text("accept_time", rfc3339(form.accepted_at))
        .text("complete_time", rfc3339(form.complete_at))
        .text("op_type", &couple.operation)
        .text("dept_code", &couple.registry)
        .text("dept_name", &couple.registry_name)
        .text("op_date", couple.day.to_string())
        .text("both_present", "1")
        .text("declaration", &couple.declaration)
        .text("photo", &couple.photo)
        .text("old_cert_no", &couple.old_certificate)
        .text("redo_reason", &couple.reissue);
    for (one, spouse) in [("man", &couple.man), ("woman", &couple.woman)] {
        object = party(writing, object, one, spouse);
    }
    let papers = papers(writing, &form.papers, "kind");
    object.value("materials", Value::from(Object::new().value("material", papers)))
}

fn party(writing: &Writing, object: Object, one: &str, spouse: &Spouse) -> Object {
    let person = &spouse.person;
    let mut object = object;
    for (name, value) in [
        ("name", person.name.clone()),
        ("cert_num", person.id.clone()),
        ("sex", writing.code("marriage_sex", &person.sex)),
        ("birth", person.birth.to_string()),
        ("folk", person.ethnicity.clone()),
        ("phone", person.phone.clone()),
        ("reg_code", person.registered.division.clone()),
        ("reg_detail", person.registered.address.clone()),
        ("live_code", person.residence.division.clone()),
        ("live_detail", person.residence.address.clone()),
        ("id_type", spouse.identity.clone()),
        ("cert_type", spouse.document_kind.clone()),
        ("other_cert_num", spouse.document.clone()),
        ("nation", spouse.citizenship.clone()),
        ("marry_status", spouse.marital.clone()),
        ("degree", spouse.education.clone()),
        ("job", spouse.occupation.clone()),
    ] {
        object = object.text(&format!("{name}_{one}"), value);
    }
    object
}
