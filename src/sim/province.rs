//! The neighbouring province's words: its own XML for one half of its cases, the canonical API
//! for the other; what it receives is always its XML.

use anyhow::{bail, ensure};
use jiff::Timestamp;

use crate::{
    model::{codes::Codes, trace::TraceContext},
    sim::{
        case::{Business, Content, Decision, Form, Happening, Received, Report, digest},
        cycle::Writing,
        province_api as api, province_forms as forms,
        settings::Settings,
        voice::{Call, Document, Said, Voice, XML, chinese, day, iso, yuan},
        xml::Element,
    },
};

const DATE: &str = "%Y年%m月%d日";

/// The province.
pub(super) struct Province {
    writing: Writing,
}

impl Province {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let codes = Codes::load(&settings.config.join("codes"))
            .map_err(|faults| anyhow::anyhow!("{} faulty code lists", faults.len()))?;
        Ok(Self { writing: Writing::new(codes.into(), settings.role.folder()) })
    }

    fn decision(&self, decision: &Decision) -> Element {
        let refusal = Element::new("Refusal")
            .attr("code", &self.writing.code("refusal_reason", &decision.reason_code))
            .leaf("Text", &decision.reason);
        Element::new("Decision")
            .attr("result", if decision.granted { "准予" } else { "不予" })
            .leaf("Date", &day(Some(decision.day), DATE))
            .leaf("Org", &decision.office)
            .leaf("DocNo", &decision.document)
            .with(refusal)
            .leaf("MonthlyAmount", &yuan(decision.amount_fen))
            .leaf("FirstMonth", &day(decision.paid_from, "%Y年%m月"))
            .leaf("MarriageCertNo", &decision.certificate)
    }
}

/// Whether a case goes over the canonical API rather than as XML.
fn canonical(number: &str) -> bool {
    number.bytes().rfind(u8::is_ascii_digit).is_some_and(|digit| digit % 2 == 0)
}

const fn service(business: Business) -> &'static str {
    match business {
        Business::Marriage => "MARRIAGE",
        Business::Subsidy => "SUBSIDY",
        Business::Child => "CHILD",
        Business::Divorce => "DIVORCE",
        Business::OldAge => "OLDAGE",
        Business::Assistance => "ASSISTANCE",
    }
}

fn call(business: Business, kind: &str, message: &str, case: (&str, &str), body: Element) -> Call {
    let header = Element::new("Header")
        .attr("id", message)
        .attr("type", &format!("{}.{kind}", service(business)))
        .attr("version", "1.0")
        .leaf("From", "44")
        .leaf("To", "tongban-23")
        .leaf("ApplicationId", case.1)
        .leaf("CaseNo", case.0)
        .leaf("SentAt", &chinese(Timestamp::now()))
        .leaf("IdempotencyKey", message);
    Call {
        path: format!("/native/{}", business.code()),
        content_type: XML,
        key: None,
        body: Element::new("GdmzMessage").with(header).with(body).print(),
    }
}

impl Voice for Province {
    fn submission(&self, form: &Form, message: &str) -> Call {
        if canonical(&form.number) {
            return api::submission(form, message);
        }
        let content = forms::application(&self.writing, form);
        call(form.business(), "APPLY", message, (&form.number, ""), content)
    }

    fn report(&self, report: &Report, message: &str) -> Call {
        if canonical(&report.number) {
            return api::report(report, message);
        }
        let mut event = Element::new("Event")
            .attr("applicationId", &report.application)
            .attr("caseNo", &report.number)
            .attr("service", service(report.business))
            .attr("type", event_type(report.what))
            .leaf("Time", &chinese(Timestamp::now()))
            .leaf("Reason", &report.reason);
        for kind in &report.missing {
            event = event.leaf("Missing", &self.writing.code("material", kind));
        }
        let mut content = Element::new("Content").with(event);
        if let Some(decision) = &report.decision {
            content = content.with(self.decision(decision));
        }
        content = content.with(forms::papers(&self.writing, &report.papers));
        let case = (report.number.as_str(), report.application.as_str());
        call(report.business, "EVENT", message, case, content)
    }

    fn said(&self, call: &Call, status: u16, body: &[u8]) -> Said {
        if call.path.starts_with("/v1/") {
            return api::said(status, body);
        }
        let Ok(reply) = Element::read(body) else { return Said::Unclear };
        match reply.get("Result.@code") {
            "OK" => Said::Done(reply.get("Receipt.@applicationId").to_owned()),
            code if code.starts_with("REFUSED") => {
                Said::Refused(reply.get("Result.Reason").to_owned())
            }
            _ => Said::Unclear,
        }
    }

    fn path(&self) -> &'static str {
        "/gdmz/exchange"
    }

    fn read(&self, bytes: &[u8]) -> anyhow::Result<Received> {
        let document = Element::read(bytes)?;
        let get = |path: &str| document.get(path).to_owned();
        let (business, content) = match document.get("Header.@type") {
            "SUBSIDY.APPLY" => (Business::Subsidy, application(&document, "Applicant")),
            "CHILD.APPLY" => (Business::Child, application(&document, "Child")),
            "OLDAGE.APPLY" => (Business::OldAge, application(&document, "Applicant")),
            "ASSISTANCE.APPLY" => (Business::Assistance, application(&document, "Applicant")),
            "OLDAGE.EVENT" => (Business::OldAge, event(&document)?),
            "ASSISTANCE.EVENT" => (Business::Assistance, event(&document)?),
            "DIVORCE.EVENT" => (Business::Divorce, event(&document)?),
            "SUBSIDY.EVENT" => (Business::Subsidy, event(&document)?),
            "CHILD.EVENT" => (Business::Child, event(&document)?),
            "MARRIAGE.EVENT" => (Business::Marriage, event(&document)?),
            _ => bail!("Header.@type is not known"),
        };
        let received = Received {
            message: get("Header.@id"),
            business,
            number: get("Header.CaseNo"),
            application: get("Header.ApplicationId"),
            accepted_in: get("Content.Case.@acceptArea"),
            home: get("Content.Case.@homeArea"),
            content,
            trace: TraceContext::new(),
        };
        ensure!(received.message.len() == 32, "Header.@id must be 32 digits");
        ensure!(!received.number.is_empty(), "Header.CaseNo is missing");
        ensure!(!received.application.is_empty(), "Header.ApplicationId is missing");
        Ok(received)
    }

    fn answer(&self, _xml: bool, message: &str, refused: Option<&str>) -> Document {
        let (code, words) = refused.map_or(("OK", "已入库"), |why| ("REFUSED.FORM", why));
        let result = Element::new("Result").attr("code", code).leaf("Text", words);
        let receipt = Element::new("Receipt").attr("messageId", message);
        let answer = Element::new("GdmzAnswer").with(result).with(receipt);
        Document { content_type: XML, body: answer.print() }
    }

    fn status(&self, _xml: bool, message: &str, stored: bool) -> Document {
        let state = if stored { "在库" } else { "无" };
        let told = Element::new("Message").attr("id", message).attr("state", state);
        Document { content_type: XML, body: Element::new("GdmzAnswer").with(told).print() }
    }
}

fn application(document: &Element, who: &str) -> Content {
    let places = ["FullName", "IdNo", "Household.Detail"];
    let get = |path: &str| document.get(&format!("Content.{path}")).to_owned();
    let mut facts: Vec<String> =
        places.iter().map(|place| get(&format!("{who}.{place}"))).collect();
    facts.push(get("BankCard.@no"));
    let list = document.child("Content").and_then(|content| content.child("Attachments"));
    let papers = list.into_iter().flat_map(|list| list.all("Attachment"));
    facts.extend(papers.map(|paper| paper.get("Digest").to_owned()));
    Content::Application { facts: digest(&facts), married: false, reissue: false }
}

const fn event_type(what: Happening) -> &'static str {
    match what {
        Happening::Accepted => "ACCEPT",
        Happening::SupplementRequested => "ASK",
        Happening::SupplementSubmitted => "SUPPLY",
        Happening::Decided => "DECIDE",
        Happening::Withdrawn => "CANCEL",
        Happening::CheckPassed => "CHECK_OK",
        Happening::CheckConflict => "CHECK_DOUBT",
        Happening::ArchiveAsked => "ARCHIVE_ASKED",
        Happening::CoolingEnded => "COOLING_OVER",
        Happening::CollectionLapsed => "COLLECT_OVER",
        Happening::Other => "RECEIVED",
    }
}

fn event(document: &Element) -> anyhow::Result<Content> {
    let what = match document.get("Content.Event.@type") {
        "ACCEPT" => Happening::Accepted,
        "ASK" => Happening::SupplementRequested,
        "SUPPLY" => Happening::SupplementSubmitted,
        "DECIDE" => Happening::Decided,
        "CANCEL" => Happening::Withdrawn,
        "ARCHIVE_ASKED" => Happening::ArchiveAsked,
        "COOLING_OVER" => Happening::CoolingEnded,
        "COLLECT_OVER" => Happening::CollectionLapsed,
        "CHECK_OK" => Happening::CheckPassed,
        "CHECK_DOUBT" => Happening::CheckConflict,
        "RECEIVED" | "FORWARDED" | "INFORMED" | "LAPSE" | "FAIL" | "REPORTED" | "LIMIT_NEAR"
        | "LIMIT_PASSED" | "DUPLICATE" | "ABSENT" | "ANNULLED" => Happening::Other,
        _ => bail!("Content.Event.@type is not known"),
    };
    let get = |path: &str| document.get(&format!("Content.Decision.{path}")).to_owned();
    let granted = get("@result") == "准予";
    let facts = [
        granted.to_string(),
        iso(&get("Date"), DATE),
        get("DocNo"),
        get("MarriageCertNo"),
        get("Refusal.Text"),
    ];
    Ok(Content::Event { what, granted, decision: digest(&facts) })
}
