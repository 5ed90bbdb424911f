//! The own provincial platform's words: JSON with pinyin-initial keys, GB/T codes, an envelope
//! `bwt` (报文头) and a body `ywsj` (业务数据).

use anyhow::{bail, ensure};
use hyper::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    model::{codes::Codes, trace::TraceContext},
    sim::{
        case::{Business, By, Content, Form, Happening, Received, Report, digest},
        cycle::Writing,
        exchange::Told,
        faults::{Fault, Faults},
        json::{Object, each, text},
        marry_service::{self, MarryService},
        platform_forms as forms, platform_reading as reading,
        settings::Settings,
        voice::{Call, Document, JSON, Said, Voice, compact, day, iso, yuan},
    },
};

/// The platform.
pub(super) struct Platform {
    writing: Writing,
    old_library: Option<MarryService>,
}

impl Platform {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let codes = Codes::load(&settings.config.join("codes"))
            .map_err(|faults| anyhow::anyhow!("{} faulty code lists", faults.len()))?;
        let password = settings.registry_password.as_deref();
        let old_library = password.map(MarryService::open).transpose()?;
        Ok(Self { writing: Writing::new(codes.into(), settings.role.folder()), old_library })
    }

    fn taken(&self, business: Business, body: &Value) -> (Business, Content) {
        let claim = reading::claim(&self.writing, business, body);
        (business, Content::Application(Box::new(claim)))
    }
}

const fn prefix(business: Business) -> &'static str {
    match business {
        Business::Marriage => "JHDJ",
        Business::Subsidy => "CJBT",
        Business::Child => "ETRD",
        Business::Divorce => "LHDJ",
        Business::OldAge => "GLJT",
        Business::Assistance => "SHJZ",
    }
}

fn head(business: Business, kind: &str, message: &str, number: &str) -> Object {
    Object::new()
        .text("bwbh", message)
        .text("bwlx", format!("{}-{kind}", prefix(business)))
        .text("fsf", "23")
        .text("jsf", "tongban-23")
        .text("slbh", number)
        .text("fssj", compact(Timestamp::now()))
        .text("mdbs", message)
}

fn call(business: Business, head: Object, body: Object) -> Call {
    let document = json!({ "bwt": Value::from(head), "ywsj": Value::from(body) });
    Call {
        path: format!("/native/{}", business.code()),
        content_type: JSON,
        key: None,
        body: document.to_string().into_bytes(),
    }
}

impl Voice for Platform {
    fn submission(&self, form: &Form, message: &str) -> Call {
        let head = head(form.business(), "SQ", message, &form.number)
            .text("slqh", &form.accepted_in)
            .text("ywsdqh", &form.home);
        call(form.business(), head, forms::application(&self.writing, form))
    }

    fn report(&self, report: &Report, message: &str) -> Call {
        let head = head(report.business, "SJ", message, &report.number)
            .text("slqh", &report.accepted_in)
            .text("ywsdqh", &report.home)
            .text("bjbh", &report.application);
        let decision = report.decision.as_ref().map(|decision| {
            Value::from(
                Object::new()
                    .text("jg", if decision.granted { "1" } else { "2" })
                    .text("bjrq", day(Some(decision.day), "%Y%m%d"))
                    .text("bjdw", &decision.office)
                    .text("wsh", &decision.document)
                    .text("yydm", self.writing.code("refusal_reason", &decision.reason_code))
                    .text("yy", &decision.reason)
                    .text("bzje", yuan(decision.amount_fen))
                    .text("slny", day(decision.paid_from, "%Y%m"))
                    .text("jhzzh", &decision.certificate),
            )
        });
        let missing: Vec<Value> =
            report.missing.iter().map(|kind| self.writing.code("material", kind).into()).collect();
        let body = Object::new()
            .text("bjbh", &report.application)
            .text("slbh", &report.number)
            .text("ywlb", prefix(report.business))
            .text("sjlx", event_type(report.what))
            .text("fssj", compact(Timestamp::now()))
            .text("yy", &report.reason)
            .text("chr", report.withdrawal.as_ref().map_or("", |one| withdrawer(one.by)))
            .text("hzdh", report.withdrawal.as_ref().map_or("", |one| &*one.receipt))
            .value("qscl", missing)
            .value("clxx", forms::papers(&self.writing, &report.papers))
            .value("bjjg", decision);
        call(report.business, head, body)
    }

    fn said(&self, _call: &Call, _status: u16, body: &[u8]) -> Said {
        let Ok(reply) = serde_json::from_slice::<Value>(body) else { return Said::Unclear };
        match text(&reply, "fhm").as_str() {
            "200" => Said::Done(text(&reply, "sj.bjbh"), each(&reply["sj"], "hcsx", "gzbh")),
            code if code.starts_with('4') => Said::Refused(text(&reply, "yy")),
            _ => Said::Unclear,
        }
    }

    fn path(&self) -> &'static str {
        "/ktb"
    }

    fn read(&self, bytes: &[u8]) -> anyhow::Result<Received> {
        let document: Value = serde_json::from_slice(bytes)?;
        let get = |path: &str| text(&document, path);
        let body = &document["ywsj"];
        let (business, content) = match get("bwt.bwlx").as_str() {
            "CJBT-SQ" => self.taken(Business::Subsidy, body),
            "ETRD-SQ" => self.taken(Business::Child, body),
            "GLJT-SQ" => self.taken(Business::OldAge, body),
            "SHJZ-SQ" => self.taken(Business::Assistance, body),
            // The hub asks for the archive of a marriage that was registered here.
            "JHDJ-SQ" => self.taken(Business::Marriage, body),
            "GLJT-SJ" => (Business::OldAge, event(body)?),
            "SHJZ-SJ" => (Business::Assistance, event(body)?),
            "LHDJ-SJ" => (Business::Divorce, event(body)?),
            "CJBT-SJ" => (Business::Subsidy, event(body)?),
            "ETRD-SJ" => (Business::Child, event(body)?),
            "JHDJ-SJ" => (Business::Marriage, event(body)?),
            _ => bail!("bwt.bwlx is not known"),
        };
        let received = Received {
            message: get("bwt.bwbh"),
            business,
            number: get("bwt.slbh"),
            application: get("bwt.bjbh"),
            accepted_in: get("bwt.slqh"),
            home: get("bwt.ywsdqh"),
            content,
            trace: TraceContext::new(),
        };
        ensure!(received.message.len() == 32, "bwt.bwbh must be 32 digits");
        ensure!(!received.number.is_empty(), "bwt.slbh is missing");
        ensure!(!received.application.is_empty(), "bwt.bjbh is missing");
        Ok(received)
    }

    fn answer(&self, _xml: bool, message: &str, refused: Option<&str>) -> Document {
        let (code, words) = refused.map_or(("200", "已收"), |why| ("400", why));
        document(&json!({"fhm": code, "fhxx": words, "sj": {"bwbh": message}}))
    }

    fn status(&self, _xml: bool, message: &str, stored: bool) -> Document {
        let state = if stored { "YJS" } else { "WJS" };
        document(&json!({"fhm": "200", "fhxx": "成功", "sj": {"bwbh": message, "zt": state}}))
    }

    fn is_asked(&self, path: &str) -> bool {
        self.old_library.is_some() && path == marry_service::PATH
    }

    fn tell(&self, _path: &str, _headers: &HeaderMap, body: &[u8], faults: &Faults) -> Told {
        match &self.old_library {
            Some(library) if !faults.strikes(Fault::Silent) => Told::Document(library.answer(body)),
            _ => Told::Silence,
        }
    }
}

fn document(value: &Value) -> Document {
    Document { content_type: JSON, body: value.to_string().into_bytes() }
}

const fn withdrawer(by: By) -> &'static str {
    match by {
        By::Man => "NF",
        By::Woman => "NV",
        By::Both => "SF",
    }
}

const fn event_type(what: Happening) -> &'static str {
    match what {
        Happening::Accepted => "SL",
        Happening::SupplementRequested => "BZTZ",
        Happening::SupplementSubmitted => "BZTJ",
        Happening::Decided => "BJ",
        Happening::Withdrawn => "CH",
        Happening::CheckPassed => "HYTG",
        Happening::CheckConflict => "HYCT",
        Happening::ArchiveAsked => "YDDD",
        Happening::CoolingEnded => "LJQM",
        Happening::CollectionLapsed => "SLQM",
        Happening::Reviewed => "CSSB",
        Happening::Expired => "YQ",
        Happening::Absent => "WDC",
        Happening::Annulled => "HYCX",
        Happening::ToldTwice => "CFSQ",
        Happening::PaysNoLonger => "DYQC",
        Happening::Other => "SJ",
    }
}

fn decision_facts(body: &Value) -> String {
    digest(&[
        (text(body, "bjjg.jg") == "1").to_string(),
        iso(&text(body, "bjjg.bjrq"), "%Y%m%d"),
        text(body, "bjjg.wsh"),
        text(body, "bjjg.jhzzh"),
        text(body, "bjjg.yy"),
    ])
}

fn event(body: &Value) -> anyhow::Result<Content> {
    let what = match text(body, "sjlx").as_str() {
        "SL" => Happening::Accepted,
        "BZTZ" => Happening::SupplementRequested,
        "BZTJ" => Happening::SupplementSubmitted,
        "BJ" => Happening::Decided,
        "CH" => Happening::Withdrawn,
        "YDDD" => Happening::ArchiveAsked,
        "LJQM" => Happening::CoolingEnded,
        "SLQM" => Happening::CollectionLapsed,
        "HYTG" => Happening::CheckPassed,
        "HYCT" => Happening::CheckConflict,
        "CSSB" => Happening::Reviewed,
        "YQ" => Happening::Expired,
        "WDC" => Happening::Absent,
        "HYCX" => Happening::Annulled,
        "CFSQ" => Happening::ToldTwice,
        "DYQC" | "DYZZ" => Happening::PaysNoLonger,
        "SJ" | "ZS" | "SD" | "SB" | "SXJZ" | "SXYG" => Happening::Other,
        _ => bail!("sjlx is not known"),
    };
    let granted = text(body, "bjjg.jg") == "1";
    let missing = body["qscl"].as_array().into_iter().flatten();
    let missing = missing.filter_map(|kind| kind.as_str().map(str::to_owned)).collect();
    let papers = each(body, "clxx", "cldm");
    Ok(Content::Event { what, granted, decision: decision_facts(body), missing, papers })
}
