//! The national hub's own words: the envelope `head`, `body`, `sign`; JSON for subsidies and
//! children, XML for marriage; sealed both ways.

use anyhow::{Context as _, bail, ensure};
use hyper::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    model::{codes::Codes, trace::TraceContext},
    sim::{
        case::{Body, Business, By, Content, Decision, Form, Happening, Received, Report, digest},
        cycle::Writing,
        exchange::{Exchange, Told},
        faults::Faults,
        json::{Object, each, text},
        national_forms as forms, national_reading as reading,
        seal::Key,
        settings::Settings,
        voice::{Call, Document, JSON, Said, Voice, XML, day, rfc3339},
        xml::Element,
    },
};

/// The hub.
pub(super) struct National {
    key: Key,
    exchange: Option<Exchange>,
    writing: Writing,
}

impl National {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let file = settings.seal_key.as_ref().context("seal_key: the hub needs one")?;
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} can't be read", file.display()))?;
        let key = hex::decode(text.trim()).context("seal_key: must be hexadecimal digits")?;
        let codes = Codes::load(&settings.config.join("codes"))
            .map_err(|faults| anyhow::anyhow!("{} faulty code lists", faults.len()))?;
        let writing = Writing::new(codes.into(), settings.role.folder());
        let exchange = settings.exchange_key.as_deref().map(Exchange::open).transpose()?;
        Ok(Self { key: Key::new(&key), exchange, writing })
    }

    fn call(&self, business: Business, head: Object, body: Object) -> Call {
        let mut document = json!({ "head": Value::from(head), "body": Value::from(body) });
        let path = "/national/messages".to_owned();
        if business.of_couples() {
            let mut root = Element::new("message");
            for (name, part) in document.as_object().into_iter().flatten() {
                tree(&mut root, name, part);
            }
            let sign = self.key.sign_xml(&root);
            root = root.leaf("sign", &sign);
            return Call { path, content_type: XML, key: None, body: root.print() };
        }
        document["sign"] = self.key.sign_json(&document).into();
        Call { path, content_type: JSON, key: None, body: document.to_string().into_bytes() }
    }

    fn decision(&self, decision: &Decision) -> Value {
        Object::new()
            .text("outcome", if decision.granted { "1" } else { "2" })
            .text("decide_date", decision.day.to_string())
            .text("decide_org", &decision.office)
            .text("doc_no", &decision.document)
            .text("reason_code", self.writing.code("refusal_reason", &decision.reason_code))
            .text("reason", &decision.reason)
            .value("amount_fen", decision.amount_fen)
            .text("first_get_month", day(decision.paid_from, "%Y-%m"))
            .text("cert_no", &decision.certificate)
            .into()
    }

    fn read_json(&self, bytes: &[u8]) -> anyhow::Result<Received> {
        let document: Value = serde_json::from_slice(bytes)?;
        ensure!(self.key.sign_json(&document) == text(&document, "sign"), "the seal is broken");
        let get = |path: &str| text(&document, path);
        let body = &document["body"];
        let (business, content) = match get("head.biz_code").as_str() {
            "CJ01" => taken(Business::Subsidy, body),
            "ET01" => taken(Business::Child, body),
            "GL01" => taken(Business::OldAge, body),
            "JZ01" => taken(Business::Assistance, body),
            "GL02" => (Business::OldAge, event(&|path| text(body, path), listed(body))?),
            "JZ02" => (Business::Assistance, event(&|path| text(body, path), listed(body))?),
            "CJ02" => (Business::Subsidy, event(&|path| text(body, path), listed(body))?),
            "ET02" => (Business::Child, event(&|path| text(body, path), listed(body))?),
            _ => bail!("head.biz_code is not known"),
        };
        received(business, content, &get)
    }

    fn read_xml(&self, bytes: &[u8]) -> anyhow::Result<Received> {
        let document = Element::read(bytes)?;
        ensure!(self.key.sign_xml(&document) == document.get("sign"), "the seal is broken");
        let get = |path: &str| document.get(path).to_owned();
        let body = document.child("body").context("body is missing")?;
        let divorce = document.get("head.biz_code").starts_with("LH");
        let business = if divorce { Business::Divorce } else { Business::Marriage };
        let content = match document.get("head.biz_code") {
            "HY01" | "LH01" => Content::Application(Box::new(reading::couple(business, body))),
            "HY02" | "LH03" => {
                let granted = (body.get("result") == "1").to_string();
                let places = ["decide_date", "decide_doc_no", "cert_no", "refuse_reason"];
                let mut facts = vec![granted];
                facts.extend(places.map(|place| body.get(place).to_owned()));
                let certificate = body.get("cert_no").to_owned();
                Content::Result { decision: digest(&facts), certificate }
            }
            "HY03" | "LH02" => event(&|path| body.get(path).to_owned(), listed_xml(body))?,
            _ => bail!("head.biz_code is not known"),
        };
        received(business, content, &get)
    }
}

impl Voice for National {
    fn submission(&self, form: &Form, message: &str) -> Call {
        let (code, body) = match &form.body {
            Body::Subsidy(subsidy) => ("CJ01", forms::subsidy(&self.writing, form, subsidy)),
            Body::Child(child) => ("ET01", forms::child(&self.writing, form, child)),
            Body::Marriage(couple) => ("HY01", forms::marriage(&self.writing, form, couple)),
            // The hub submits no divorces: registries do.
            Body::Divorce(_) => ("LH01", Object::new()),
            Body::OldAge(old) => ("GL01", forms::old_age(&self.writing, form, old)),
            Body::Assistance(need) => ("JZ01", forms::assistance(&self.writing, form, need)),
        };
        let areas = (form.accepted_in.as_str(), form.home.as_str());
        let head = head(code, "REQ", message, areas).text("case_no", &form.number);
        self.call(form.business(), head, body)
    }

    fn report(&self, report: &Report, message: &str) -> Call {
        let (code, biz) = match report.business {
            Business::Marriage => ("HY03", "HY"),
            Business::Subsidy => ("CJ02", "CJ"),
            Business::Child => ("ET02", "ET"),
            Business::Divorce => ("LH02", "LH"),
            Business::OldAge => ("GL02", "GL"),
            Business::Assistance => ("JZ02", "JZ"),
        };
        let areas = (report.accepted_in.as_str(), report.home.as_str());
        let head = head(code, "EVENT", message, areas)
            .text("case_no", &report.number)
            .text("app_id", &report.application);
        let missing: Vec<Value> =
            report.missing.iter().map(|kind| self.writing.code("material", kind).into()).collect();
        let body = Object::new()
            .text("app_id", &report.application)
            .text("accept_no", &report.number)
            .text("biz", biz)
            .text("event_type", event_type(report.what))
            .text("event_time", rfc3339(Timestamp::now()))
            .text("reason", &report.reason)
            .text("withdraw_by", report.withdrawal.as_ref().map_or("", |one| withdrawer(one.by)))
            .text("receipt_no", report.withdrawal.as_ref().map_or("", |one| &*one.receipt))
            .value("missing_materials", missing)
            .value("materials", forms::papers(&self.writing, &report.papers, "kind"))
            .value("decision", report.decision.as_ref().map(|d| self.decision(d)));
        self.call(report.business, head, body)
    }

    fn said(&self, call: &Call, _status: u16, body: &[u8]) -> Said {
        let (code, application, reason, rules) = if call.content_type == XML {
            let Ok(reply) = Element::read(body) else { return Said::Unclear };
            let get = |path: &str| reply.get(path).to_owned();
            let data = reply.child("data").into_iter();
            let rules = data.flat_map(|data| data.all("to_verify"));
            let rules = rules.map(|one| one.get("rule").to_owned()).collect();
            (get("code"), get("data.app_id"), get("reason"), rules)
        } else {
            let Ok(reply) = serde_json::from_slice::<Value>(body) else { return Said::Unclear };
            let rules = each(&reply["data"], "to_verify", "rule");
            (text(&reply, "code"), text(&reply, "data.app_id"), text(&reply, "reason"), rules)
        };
        match code.as_str() {
            "0" => Said::Done(application, rules),
            code if code.starts_with('E') => Said::Refused(reason),
            _ => Said::Unclear,
        }
    }

    fn path(&self) -> &'static str {
        "/messages"
    }

    fn read(&self, bytes: &[u8]) -> anyhow::Result<Received> {
        if bytes.trim_ascii_start().starts_with(b"<") {
            self.read_xml(bytes)
        } else {
            self.read_json(bytes)
        }
    }

    fn answer(&self, xml: bool, message: &str, refused: Option<&str>) -> Document {
        let (code, words) = refused.map_or(("0", "已入库"), |why| ("E400", why));
        document(xml, &json!({"code": code, "message": words, "data": {"msg_id": message}}))
    }

    fn status(&self, xml: bool, message: &str, stored: bool) -> Document {
        let state = if stored { "STORED" } else { "NONE" };
        let data = json!({"msg_id": message, "state": state});
        document(xml, &json!({"code": "0", "message": "ok", "data": data}))
    }

    fn is_asked(&self, path: &str) -> bool {
        self.exchange.is_some() && Exchange::serves(path)
    }

    fn tell(&self, path: &str, headers: &HeaderMap, body: &[u8], faults: &Faults) -> Told {
        match &self.exchange {
            Some(exchange) => exchange.answer(path, headers, body, faults),
            None => Told::Silence,
        }
    }
}

fn head(code: &str, kind: &str, message: &str, (accepted, home): (&str, &str)) -> Object {
    Object::new()
        .text("ver", "1.0")
        .text("msg_id", message)
        .text("biz_code", code)
        .text("msg_type", kind)
        .text("sender", "national")
        .text("receiver", "tongban-23")
        .text("area_accept", accepted)
        .text("area_home", home)
        .text("sent_at", rfc3339(Timestamp::now()))
        .text("nonce", uuid::Uuid::new_v4().simple().to_string())
        .text("idem_key", message)
        .text("key_id", "gw-2026")
        .text("sign_alg", "HMAC-SHA256")
}

/// Puts a JSON value below an element: members as elements, lists as repeated elements.
fn tree(parent: &mut Element, name: &str, value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| tree(parent, name, item)),
        Value::Object(members) => {
            let mut element = Element::new(name);
            members.iter().for_each(|(key, member)| tree(&mut element, key, member));
            parent.children.push(element);
        }
        Value::String(text) => {
            parent.children.push(Element { text: text.clone(), ..Element::new(name) });
        }
        other => parent.children.push(Element { text: other.to_string(), ..Element::new(name) }),
    }
}

fn document(xml: bool, value: &Value) -> Document {
    if !xml {
        return Document { content_type: JSON, body: value.to_string().into_bytes() };
    }
    let mut root = Element::new("answer");
    value.as_object().into_iter().flatten().for_each(|(key, part)| tree(&mut root, key, part));
    Document { content_type: XML, body: root.print() }
}

fn taken(business: Business, body: &Value) -> (Business, Content) {
    (business, Content::Application(Box::new(reading::claim(business, body))))
}

/// Kinds of paper that an event asks for, and that come with it.
type Listed = (Vec<String>, Vec<String>);

fn listed(body: &Value) -> Listed {
    let missing = body["missing_materials"].as_array().into_iter().flatten();
    let missing = missing.filter_map(|kind| kind.as_str().map(str::to_owned));
    (missing.collect(), each(body, "materials", "kind"))
}

fn listed_xml(body: &Element) -> Listed {
    let missing = body.all("missing_materials").map(|kind| kind.text.clone());
    let papers = body.all("materials").map(|paper| paper.get("kind").to_owned());
    (missing.collect(), papers.collect())
}

const fn withdrawer(by: By) -> &'static str {
    match by {
        By::Man => "1",
        By::Woman => "2",
        By::Both => "3",
    }
}

const fn event_type(what: Happening) -> &'static str {
    match what {
        Happening::Accepted => "03",
        Happening::SupplementRequested => "04",
        Happening::SupplementSubmitted => "05",
        Happening::Decided => "06",
        Happening::Withdrawn => "08",
        Happening::CheckPassed => "11",
        Happening::CheckConflict => "12",
        Happening::ArchiveAsked => "18",
        Happening::CoolingEnded => "20",
        Happening::CollectionLapsed => "21",
        Happening::Reviewed => "13",
        Happening::Expired => "09",
        Happening::Absent => "17",
        Happening::Annulled => "19",
        Happening::ToldTwice => "16",
        Happening::PaysNoLonger => "22",
        Happening::Other => "01",
    }
}

fn event(get: &dyn Fn(&str) -> String, (missing, papers): Listed) -> anyhow::Result<Content> {
    let what = match get("event_type").as_str() {
        "03" => Happening::Accepted,
        "04" => Happening::SupplementRequested,
        "05" => Happening::SupplementSubmitted,
        "06" => Happening::Decided,
        "08" => Happening::Withdrawn,
        "18" => Happening::ArchiveAsked,
        "20" => Happening::CoolingEnded,
        "21" => Happening::CollectionLapsed,
        "09" => Happening::Expired,
        "11" => Happening::CheckPassed,
        "12" => Happening::CheckConflict,
        "13" => Happening::Reviewed,
        "16" => Happening::ToldTwice,
        "17" => Happening::Absent,
        "19" => Happening::Annulled,
        "22" | "23" => Happening::PaysNoLonger,
        "01" | "02" | "07" | "10" | "14" | "15" => Happening::Other,
        _ => bail!("event_type is not known"),
    };
    let granted = get("decision.outcome") == "1";
    let places = ["decision.decide_date", "decision.doc_no", "decision.cert_no", "decision.reason"];
    let mut facts = vec![granted.to_string()];
    facts.extend(places.map(get));
    let decision = digest(&facts);
    Ok(Content::Event { what, granted, decision, missing, papers })
}

fn received(
    business: Business,
    content: Content,
    get: &dyn Fn(&str) -> String,
) -> anyhow::Result<Received> {
    let received = Received {
        message: get("head.msg_id"),
        business,
        number: get("head.case_no"),
        application: get("head.app_id"),
        accepted_in: get("head.area_accept"),
        home: get("head.area_home"),
        content,
        trace: TraceContext::new(),
    };
    ensure!(received.message.len() == 32, "head.msg_id must be 32 digits");
    ensure!(!received.number.is_empty(), "head.case_no is missing");
    ensure!(!received.application.is_empty(), "head.app_id is missing");
    Ok(received)
}
