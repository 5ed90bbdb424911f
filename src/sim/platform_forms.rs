//! The provincial platform's application forms: keys are pinyin initials, dates `yyyyMMdd`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::sim::{
    case::{
        Assistance, Body, Child, Couple, Divorce, Form, OldAge, Paper, Parent, Person,
        Representative, Spouse, Subsidy,
    },
    cycle::Writing,
    json::Object,
    voice::{compact, day, yuan},
};

const DATE: &str = "%Y%m%d";

pub(super) fn application(writing: &Writing, form: &Form) -> Object {
    let object = Object::new()
        .text("slbh", &form.number)
        .text("slqh", &form.accepted_in)
        .text("sljgmc", &form.office)
        .text("ywsdqh", &form.home)
        .text("sqfs", if form.online { "02" } else { "01" })
        .text("slsj", compact(form.accepted_at))
        .text("clqqsj", compact(form.complete_at));
    let object = match &form.body {
        Body::Marriage(couple) => marriage(writing, object, couple),
        Body::Subsidy(body) => {
            let applicant = form.applicant.as_ref().map(|who| person(writing, who));
            subsidy(writing, object.value("sqr", applicant.map(Value::from)), body)
        }
        Body::Child(body) => {
            let applicant = form.applicant.as_ref().map(|who| person(writing, who));
            child(writing, object.value("et", applicant.map(Value::from)), body)
        }
        Body::Divorce(couple) => divorce(writing, object, couple),
        Body::OldAge(body) => {
            let applicant = form.applicant.as_ref().map(|who| person(writing, who));
            old_age(writing, object.value("sqr", applicant.map(Value::from)), body)
        }
        Body::Assistance(body) => {
            let applicant = form.applicant.as_ref().map(|who| person(writing, who));
            assistance(writing, object.value("sqr", applicant.map(Value::from)), body)
        }
    };
    let account = form.account.as_ref().map(|account| {
        Value::from(
            Object::new()
                .text("khyh", &account.bank)
                .text("hm", &account.holder)
                .text("zh", &account.number),
        )
    });
    object
        .value("jhr", form.guardian.as_ref().map(|who| representative(writing, who)))
        .value("dbr", form.agent.as_ref().map(|who| representative(writing, who)))
        .value("yhzh", account)
        .value("clxx", papers(writing, &form.papers))
}

pub(super) fn papers(writing: &Writing, papers: &[Paper]) -> Value {
    let paper = |paper: &Paper| {
        Object::new()
            .text("cldm", writing.code("material", &paper.kind))
            .text("wjmc", &paper.file)
            .value("wjdx", paper.size)
            .text("wjzy", &paper.digest)
            .text("ccwz", &paper.location)
            .text("wjnr", STANDARD.encode(&paper.content))
            .into()
    };
    Value::Array(papers.iter().map(paper).collect())
}

const fn yes(yes: bool) -> &'static str {
    if yes { "1" } else { "0" }
}

fn person(writing: &Writing, person: &Person) -> Object {
    Object::new()
        .text("xm", &person.name)
        .text("sfzh", &person.id)
        .text("xb", writing.code("sex", &person.sex))
        .text("csrq", day(Some(person.birth), DATE))
        .text("mz", writing.code("ethnicity", &person.ethnicity))
        .text("lxdh", &person.phone)
        .text("hjqh", &person.registered.division)
        .text("hjdz", &person.registered.address)
        .text("xzzqh", &person.residence.division)
        .text("xzzdz", &person.residence.address)
}

fn representative(writing: &Writing, who: &Representative) -> Value {
    Object::new()
        .text("xm", &who.name)
        .text("sfzh", &who.id)
        .text("ysqrgx", writing.code("relation", &who.relation))
        .text("lxdh", &who.phone)
        .text("lxdz", &who.address)
        .into()
}

fn subsidy(writing: &Writing, object: Object, subsidy: &Subsidy) -> Object {
    object
        .text("btzl", writing.code("subsidy_kind", &subsidy.kind))
        .text("cjrzh", &subsidy.certificate)
        .text("cjlb", writing.code("disability_category", &subsidy.category))
        .text("cjdj", writing.code("disability_level", &subsidy.level))
        .text("zyxqz", day(Some(subsidy.valid_to), DATE))
        .text("knlb", writing.code("hardship_kind", &subsidy.hardship))
        .text("dbzh", &subsidy.hardship_certificate)
        .text("sftkgy", yes(subsidy.extremely_poor))
        .text("sfgshlf", yes(subsidy.injury_fee))
        .text("sfgejt", yes(subsidy.orphan_allowance))
        .text("sfssetjt", yes(false))
        .text("qtjt", writing.code("other_allowance", &subsidy.other_allowance))
        .text("sfcqzh", yes(subsidy.long_term_care))
        .text("sqly", &subsidy.statement)
        .text("mlny", day(subsidy.last_paid, "%Y%m"))
        .text("sqsx", writing.code("benefit_action", &subsidy.action))
        .text("yffd", &subsidy.previous)
        .text("tfyy", writing.code("exit_reason", &subsidy.exit))
}

fn old_age(writing: &Writing, object: Object, old: &OldAge) -> Object {
    object
        .text("nld", writing.code("age_band", &old.band))
        .text("sqsx", writing.code("benefit_action", &old.action))
        .text("scrzrq", day(Some(old.alive_on), DATE))
        .text("qtjt", writing.code("other_allowance", &old.other_allowance))
        .text("mlny", day(old.last_paid, "%Y%m"))
        .text("yffd", &old.previous)
        .text("tfyy", writing.code("exit_reason", &old.exit))
        .text("sqly", &old.statement)
}

fn assistance(writing: &Writing, object: Object, need: &Assistance) -> Object {
    let member = |who: &Representative| {
        Value::from(
            Object::new()
                .text("xm", &who.name)
                .text("sfzh", &who.id)
                .text("ysqrgx", writing.code("relation", &who.relation)),
        )
    };
    object
        .text("sqsx", writing.code("benefit_action", &need.action))
        .text("jzlb", writing.code("assistance_kind", &need.kind))
        .text("dsrlb", writing.code("low_income_class", &need.class))
        .text("cxlb", writing.code("area_kind", &need.area))
        .text("jtyszsr", yuan(need.income_fen))
        .text("jtck", yuan(need.savings_fen))
        .text("hdsqsh", &need.authorisation)
        .text("zkyy", writing.code("hardship_cause", &need.cause))
        .text("sfsw", yes(need.without))
        .text("knqk", &need.statement)
        .value("jtcy", need.members.iter().map(member).collect::<Vec<Value>>())
}

fn divorce(writing: &Writing, object: Object, couple: &Divorce) -> Object {
    object
        .text("djjgdm", &couple.registry)
        .text("djjgmc", &couple.registry_name)
        .text("hzdh", &couple.receipt)
        .text("sfsfdc", yes(true))
        .text("jhzzh", &couple.certificate)
        .text("jhdjrq", day(Some(couple.married_on), DATE))
        .text("sfndjh", yes(couple.in_china))
        .text("xyszy", &couple.agreement)
        .text("sfznyy", yes(couple.children))
        .text("sfccyy", yes(true))
        .text("sfmsxwnl", yes(couple.capable))
        .value("nanf", spouse(writing, &couple.man))
        .value("nvf", spouse(writing, &couple.woman))
}

fn child(writing: &Writing, object: Object, child: &Child) -> Object {
    let categories: Vec<Value> =
        child.categories.iter().map(|c| writing.code("disability_category", c).into()).collect();
    object
        .text("sqsx", writing.code("benefit_action", &child.action))
        .text("yffd", &child.previous)
        .text("mlny", day(child.last_paid, "%Y%m"))
        .text("etlb", writing.code("child_kind", &child.kind))
        .text("hklb", writing.code("household_kind", &child.household))
        .text("jkzk", writing.code("health_status", &child.health))
        .value("cjlb", categories)
        .text("cjdj", writing.code("disability_level", &child.level))
        .text("xyzk", writing.code("academic_status", &child.academic))
        .text("jxzk", writing.code("schooling", &child.schooling))
        .text("sfjs", yes(child.boarding))
        .text("jhrtypz", &child.consent)
        .text("bz", &child.remark)
        .value("fq", parent(writing, &child.father))
        .value("mq", parent(writing, &child.mother))
}

fn parent(writing: &Writing, parent: &Parent) -> Value {
    Object::new()
        .text("xm", &parent.name)
        .text("zjlx", writing.code("document", &parent.document_kind))
        .text("zjhm", &parent.document)
        .text("qx", writing.code("parent_circumstance", &parent.circumstance))
        .text("qsrq", day(parent.since, DATE))
        .text("zmcl", writing.code("material", &parent.proof))
        .into()
}

fn marriage(writing: &Writing, object: Object, couple: &Couple) -> Object {
    object
        .text("ywlx", writing.code("marriage_operation", &couple.operation))
        .text("djjgdm", &couple.registry)
        .text("djjgmc", &couple.registry_name)
        .text("djrq", day(Some(couple.day), DATE))
        .text("sfsfdc", yes(!couple.booked))
        .text("smszy", &couple.declaration)
        .text("hyzpzy", &couple.photo)
        .text("yyh", &couple.booking)
        .text("yzzh", &couple.old_certificate)
        .text("blyy", writing.code("reissue_reason", &couple.reissue))
        .value("nanf", spouse(writing, &couple.man))
        .value("nvf", spouse(writing, &couple.woman))
}

fn spouse(writing: &Writing, spouse: &Spouse) -> Value {
    person(writing, &spouse.person)
        .text("sflb", writing.code("marriage_identity", &spouse.identity))
        .text("zjlx", writing.code("marriage_document", &spouse.document_kind))
        .text("zjhm", &spouse.document)
        .text("gj", writing.code("country", &spouse.citizenship))
        .text("hyzk", writing.code("marital_status", &spouse.marital))
        .text("whcd", writing.code("education", &spouse.education))
        .text("zy", writing.code("occupation", &spouse.occupation))
        .into()
}
