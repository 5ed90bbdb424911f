//! The neighbouring province's application forms: XML with attributes, codes of its own, dates
//! in Chinese, birth dates in three parts.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::sim::{
    case::{
        Assistance, Body, Child, Couple, Divorce, Form, OldAge, Paper, Parent, Person,
        Representative, Spouse, Subsidy,
    },
    cycle::Writing,
    voice::{chinese, day, yuan},
    xml::Element,
};

const DATE: &str = "%Y年%m月%d日";
const MONTH: &str = "%Y年%m月";

pub(super) fn application(writing: &Writing, form: &Form) -> Element {
    let case = Element::new("Case")
        .attr("no", &form.number)
        .attr("acceptArea", &form.accepted_in)
        .attr("homeArea", &form.home)
        .attr("channel", if form.online { "网上" } else { "窗口" })
        .leaf("AcceptOrg", &form.office)
        .leaf("AcceptTime", &chinese(form.accepted_at))
        .leaf("CompleteTime", &chinese(form.complete_at));
    let mut content = Element::new("Content").with(case);
    content = match &form.body {
        Body::Marriage(couple) => marriage(writing, content, couple),
        Body::Subsidy(body) => {
            if let Some(applicant) = &form.applicant {
                content = content.with(person(writing, "Applicant", applicant));
            }
            content.with(subsidy(writing, body))
        }
        Body::Divorce(couple) => divorce(writing, content, couple),
        Body::OldAge(body) => {
            if let Some(applicant) = &form.applicant {
                content = content.with(person(writing, "Applicant", applicant));
            }
            content.with(old_age(writing, body))
        }
        Body::Assistance(body) => {
            if let Some(applicant) = &form.applicant {
                content = content.with(person(writing, "Applicant", applicant));
            }
            content.with(assistance(writing, body))
        }
        Body::Child(body) => {
            if let Some(applicant) = &form.applicant {
                content = content.with(person(writing, "Child", applicant));
            }
            content
                .with(recognition(writing, body))
                .with(parent(writing, "Father", &body.father))
                .with(parent(writing, "Mother", &body.mother))
        }
    };
    for (name, who) in [("Guardian", &form.guardian), ("Agent", &form.agent)] {
        if let Some(who) = who {
            content = content.with(representative(writing, name, who));
        }
    }
    if let Some(account) = &form.account {
        let card = Element::new("BankCard")
            .attr("no", &account.number)
            .leaf("Bank", &account.bank)
            .leaf("Holder", &account.holder);
        content = content.with(card);
    }
    content.with(papers(writing, &form.papers))
}

pub(super) fn papers(writing: &Writing, papers: &[Paper]) -> Element {
    papers.iter().fold(Element::new("Attachments"), |list, paper| {
        list.with(
            Element::new("Attachment")
                .attr("type", &writing.code("material", &paper.kind))
                .attr("size", &paper.size.to_string())
                .leaf("FileName", &paper.file)
                .leaf("Digest", &paper.digest)
                .leaf("Location", &paper.location)
                .leaf("Data", &STANDARD.encode(&paper.content)),
        )
    })
}

const fn yes(yes: bool) -> &'static str {
    if yes { "是" } else { "否" }
}

fn person(writing: &Writing, name: &str, person: &Person) -> Element {
    let birth = Element::new("Birth")
        .leaf("Year", &day(Some(person.birth), "%Y"))
        .leaf("Month", &day(Some(person.birth), "%m"))
        .leaf("Day", &day(Some(person.birth), "%d"));
    Element::new(name)
        .attr("gender", &writing.code("sex", &person.sex))
        .leaf("FullName", &person.name)
        .leaf("IdNo", &person.id)
        .with(birth)
        .leaf("Nation", &writing.code("ethnicity", &person.ethnicity))
        .leaf("Mobile", &person.phone)
        .with(
            Element::new("Household")
                .attr("area", &person.registered.division)
                .leaf("Detail", &person.registered.address),
        )
        .with(
            Element::new("Residence")
                .attr("area", &person.residence.division)
                .leaf("Detail", &person.residence.address),
        )
}

fn representative(writing: &Writing, name: &str, who: &Representative) -> Element {
    Element::new(name)
        .attr("relation", &writing.code("relation", &who.relation))
        .leaf("FullName", &who.name)
        .leaf("IdNo", &who.id)
        .leaf("Mobile", &who.phone)
        .leaf("Address", &who.address)
}

fn subsidy(writing: &Writing, subsidy: &Subsidy) -> Element {
    let certificate = Element::new("DisabilityCert")
        .attr("no", &subsidy.certificate)
        .leaf("Category", &writing.code("disability_category", &subsidy.category))
        .leaf("Level", &writing.code("disability_level", &subsidy.level))
        .leaf("ValidTo", &day(Some(subsidy.valid_to), DATE));
    let hardship = Element::new("Hardship")
        .attr("type", &writing.code("hardship_kind", &subsidy.hardship))
        .leaf("CertNo", &subsidy.hardship_certificate);
    let benefits = Element::new("Benefits")
        .attr("other", &writing.code("other_allowance", &subsidy.other_allowance))
        .leaf("ExtremelyPoor", yes(subsidy.extremely_poor))
        .leaf("WorkInjuryNursing", yes(subsidy.injury_fee))
        .leaf("OrphanAllowance", yes(subsidy.orphan_allowance))
        .leaf("ChildAllowance", yes(false));
    Element::new("Subsidy")
        .attr("kind", &writing.code("subsidy_kind", &subsidy.kind))
        .attr("action", &writing.code("benefit_action", &subsidy.action))
        .leaf("PreviousArea", &subsidy.previous)
        .leaf("ExitReason", &writing.code("exit_reason", &subsidy.exit))
        .with(certificate)
        .with(hardship)
        .with(benefits)
        .leaf("LongTermCare", yes(subsidy.long_term_care))
        .leaf("Statement", &subsidy.statement)
        .leaf("LastPaid", &day(subsidy.last_paid, MONTH))
}

fn old_age(writing: &Writing, old: &OldAge) -> Element {
    Element::new("Allowance")
        .attr("band", &writing.code("age_band", &old.band))
        .attr("action", &writing.code("benefit_action", &old.action))
        .attr("other", &writing.code("other_allowance", &old.other_allowance))
        .leaf("AliveOn", &day(Some(old.alive_on), DATE))
        .leaf("LastPaid", &day(old.last_paid, MONTH))
        .leaf("PreviousArea", &old.previous)
        .leaf("ExitReason", &writing.code("exit_reason", &old.exit))
        .leaf("Statement", &old.statement)
}

fn assistance(writing: &Writing, need: &Assistance) -> Element {
    let household = Element::new("Household")
        .attr("authorisation", &need.authorisation)
        .leaf("MonthlyIncome", &yuan(need.income_fen))
        .leaf("Savings", &yuan(need.savings_fen));
    let household = need.members.iter().fold(household, |household, who| {
        household.with(
            Element::new("Member")
                .attr("relation", &writing.code("relation", &who.relation))
                .leaf("FullName", &who.name)
                .leaf("IdNo", &who.id),
        )
    });
    Element::new("Assistance")
        .attr("kind", &writing.code("assistance_kind", &need.kind))
        .attr("action", &writing.code("benefit_action", &need.action))
        .attr("class", &writing.code("low_income_class", &need.class))
        .attr("area", &writing.code("area_kind", &need.area))
        .with(household)
        .leaf("Cause", &writing.code("hardship_cause", &need.cause))
        .leaf("WithoutMeans", yes(need.without))
        .leaf("Statement", &need.statement)
}

fn divorce(writing: &Writing, content: Element, couple: &Divorce) -> Element {
    let registry =
        Element::new("Registry").attr("code", &couple.registry).leaf("Name", &couple.registry_name);
    let marriage = Element::new("Marriage")
        .attr("certNo", &couple.certificate)
        .leaf("Date", &day(Some(couple.married_on), DATE))
        .leaf("InChina", yes(couple.in_china));
    let agreement = Element::new("Agreement")
        .leaf("Digest", &couple.agreement)
        .leaf("Children", yes(couple.children))
        .leaf("Property", yes(true));
    let divorce = Element::new("Divorce")
        .attr("receipt", &couple.receipt)
        .with(registry)
        .leaf("BothPresent", yes(true))
        .with(marriage)
        .with(agreement)
        .leaf("BothCapable", yes(couple.capable));
    content.with(divorce).with(spouse(writing, "Husband", &couple.man)).with(spouse(
        writing,
        "Wife",
        &couple.woman,
    ))
}

fn recognition(writing: &Writing, child: &Child) -> Element {
    let mut disability =
        Element::new("Disability").leaf("Level", &writing.code("disability_level", &child.level));
    for category in &child.categories {
        disability = disability.leaf("Category", &writing.code("disability_category", category));
    }
    let school = Element::new("School")
        .attr("stage", &writing.code("academic_status", &child.academic))
        .attr("mode", &writing.code("schooling", &child.schooling))
        .leaf("Boarding", yes(child.boarding));
    Element::new("Recognition")
        .attr("kind", &writing.code("child_kind", &child.kind))
        .attr("action", &writing.code("benefit_action", &child.action))
        .leaf("PreviousArea", &child.previous)
        .leaf("LastPaid", &day(child.last_paid, MONTH))
        .leaf("HouseholdKind", &writing.code("household_kind", &child.household))
        .leaf("Health", &writing.code("health_status", &child.health))
        .with(disability)
        .with(school)
        .leaf("ConsentNo", &child.consent)
        .leaf("Remark", &child.remark)
}

fn parent(writing: &Writing, name: &str, parent: &Parent) -> Element {
    Element::new(name)
        .attr("circumstance", &writing.code("parent_circumstance", &parent.circumstance))
        .attr("proof", &writing.code("material", &parent.proof))
        .leaf("FullName", &parent.name)
        .with(
            Element::new("Document")
                .attr("type", &writing.code("document", &parent.document_kind))
                .leaf("No", &parent.document),
        )
        .leaf("Since", &day(parent.since, DATE))
}

fn marriage(writing: &Writing, content: Element, couple: &Couple) -> Element {
    let registry =
        Element::new("Registry").attr("code", &couple.registry).leaf("Name", &couple.registry_name);
    let reissue = Element::new("Reissue")
        .attr("reason", &writing.code("reissue_reason", &couple.reissue))
        .leaf("OldCertNo", &couple.old_certificate);
    let registration = Element::new("Registration")
        .attr("op", &writing.code("marriage_operation", &couple.operation))
        .attr("booking", &couple.booking)
        .with(registry)
        .leaf("Date", &day(Some(couple.day), DATE))
        .leaf("BothPresent", yes(!couple.booked))
        .leaf("DeclarationDigest", &couple.declaration)
        .leaf("PhotoDigest", &couple.photo)
        .with(reissue);
    content.with(registration).with(spouse(writing, "Groom", &couple.man)).with(spouse(
        writing,
        "Bride",
        &couple.woman,
    ))
}

fn spouse(writing: &Writing, name: &str, spouse: &Spouse) -> Element {
    person(writing, name, &spouse.person)
        .attr("identity", &writing.code("marriage_identity", &spouse.identity))
        .with(
            Element::new("Document")
                .attr("type", &writing.code("marriage_document", &spouse.document_kind))
                .leaf("No", &spouse.document),
        )
        .leaf("Citizenship", &writing.code("country", &spouse.citizenship))
        .leaf("Marital", &writing.code("marital_status", &spouse.marital))
        .leaf("Education", &writing.code("education", &spouse.education))
        .leaf("Job", &writing.code("occupation", &spouse.occupation))
}
