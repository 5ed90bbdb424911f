//! The neighbouring province's words: its own XML for one half of its cases, the canonical API
//! for the other; what it receives is always its XML.

use anyhow::{bail, ensure};
use jiff::Timestamp;

use crate::{
    model::{codes::Codes, trace::TraceContext},
    sim::{
        case::{Business, By, Content, Decision, Form, Happening, Received, Report, digest},
        cycle::Writing,
        province_api as api, province_forms as forms, province_reading as reading,
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

    fn taken(&self, business: Business, document: &Element) -> (Business, Content) {
        let content = document.child("Content").cloned().unwrap_or_default();
        let claim = reading::claim(&self.writing, business, &content);
        (business, Content::Application(Box::new(claim)))
    }

    fn event(&self, document: &Element) -> anyhow::Result<Content> {
        let what = happening(document.get("Content.Event.@type"))?;
        let get = |path: &str| document.get(&format!("Content.Decision.{path}")).to_owned();
        let granted = get("@result") == "准予";
        let facts = [
            granted.to_string(),
            iso(&get("Date"), DATE),
            get("DocNo"),
            get("MarriageCertNo"),
            get("Refusal.Text"),
        ];
        let content = document.child("Content");
        let event = content.and_then(|content| content.child("Event"));
        let missing = event.into_iter().flat_map(|event| event.all("Missing"));
        let missing = missing.map(|kind| self.writing.read("material", &kind.text)).collect();
        let papers = content.and_then(|content| content.child("Attachments"));
        let papers = papers.into_iter().flat_map(|list| list.all("Attachment"));
        let papers = papers.map(|paper| self.writing.read("material", paper.get("@type")));
        let (decision, papers) = (digest(&facts), papers.collect());
        Ok(Content::Event { what, granted, decision, missing, papers })
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
        if canonical(&report.number)
            && let Some(call) = api::report(report, message)
        {
            return call;
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
        if let Some(withdrawal) = &report.withdrawal {
            let by = Element::new("Withdrawal").attr("by", withdrawer(withdrawal.by));
            event = event.with(by.leaf("ReceiptNo", &withdrawal.receipt));
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
            "OK" => {
                let asked = reply.child("Receipt").and_then(|receipt| receipt.child("ToVerify"));
                let asked = asked.into_iter().flat_map(|list| list.all("Item"));
                let rules = asked.map(|item| item.get("@rule").to_owned()).collect();
                Said::Done(reply.get("Receipt.@applicationId").to_owned(), rules)
            }
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
            "SUBSIDY.APPLY" => self.taken(Business::Subsidy, &document),
            "CHILD.APPLY" => self.taken(Business::Child, &document),
            "OLDAGE.APPLY" => self.taken(Business::OldAge, &document),
            "ASSISTANCE.APPLY" => self.taken(Business::Assistance, &document),
            "OLDAGE.EVENT" => (Business::OldAge, self.event(&document)?),
            "ASSISTANCE.EVENT" => (Business::Assistance, self.event(&document)?),
            "DIVORCE.EVENT" => (Business::Divorce, self.event(&document)?),
            "SUBSIDY.EVENT" => (Business::Subsidy, self.event(&document)?),
            "CHILD.EVENT" => (Business::Child, self.event(&document)?),
            "MARRIAGE.EVENT" => (Business::Marriage, self.event(&document)?),
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

const fn withdrawer(by: By) -> &'static str {
    match by {
        By::Man => "男方",
        By::Woman => "女方",
        By::Both => "双方",
    }
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
        Happening::Reviewed => "REPORTED",
        Happening::Expired => "LAPSE",
        Happening::Absent => "ABSENT",
        Happening::Annulled => "ANNULLED",
        Happening::ToldTwice => "DUPLICATE",
        Happening::PaysNoLonger => "BENEFIT_MOVED",
        Happening::Other => "RECEIVED",
    }
}

fn happening(word: &str) -> anyhow::Result<Happening> {
    Ok(match word {
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
        "REPORTED" => Happening::Reviewed,
        "LAPSE" => Happening::Expired,
        "ABSENT" => Happening::Absent,
        "ANNULLED" => Happening::Annulled,
        "DUPLICATE" => Happening::ToldTwice,
        "BENEFIT_MOVED" | "BENEFIT_ENDED" => Happening::PaysNoLonger,
        "RECEIVED" | "FORWARDED" | "INFORMED" | "FAIL" | "LIMIT_NEAR" | "LIMIT_PASSED" => {
            Happening::Other
        }
        _ => bail!("Content.Event.@type is not known"),
    })
}
