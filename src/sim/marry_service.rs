//! The old marriage web service of province 23, as a system of 2013 was left behind: SOAP around a
//! string of XML that no parser takes, with long dashes for comments and blanks in tags.

use std::path::Path;

use anyhow::Context as _;

use crate::sim::{
    library,
    voice::{Document, XML},
    xml::Element,
};

pub(super) const PATH: &str = "/services/MarryService";

pub(super) struct MarryService {
    password: String,
}

impl MarryService {
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} can't be read", file.display()))?;
        Ok(Self { password: text.trim().into() })
    }

    pub(super) fn answer(&self, body: &[u8]) -> Document {
        let inner = match Element::read(body).ok().and_then(|soap| self.rows(&soap)) {
            Some(rows) => format!("<MARRY_RETRUNS><!— 返回结果 -->{rows}</ MARRY_RETRUNS >"),
            None => "<MARRY_RETRUNS><ERROR>用户名或密码错误</ERROR></MARRY_RETRUNS>".to_owned(),
        };
        let returned = Element { text: inner, ..Element::new("getAllMarryByIDReturn") };
        let response = Element::new("ns1:getAllMarryByIDResponse")
            .attr("xmlns:ns1", "http://service.marry.inspur.com")
            .with(returned);
        let soap = Element::new("soapenv:Envelope")
            .attr("xmlns:soapenv", "http://schemas.xmlsoap.org/soap/envelope/")
            .with(Element::new("soapenv:Body").with(response));
        Document { content_type: XML, body: soap.print() }
    }

    fn rows(&self, soap: &Element) -> Option<String> {
        let ask = soap.child("soapenv:Body")?.child("q:getAllMarryByID")?;
        if ask.get("password") != self.password {
            return None;
        }
        let number = if ask.get("manID").is_empty() { "womanID" } else { "manID" };
        let number = ask.get(number);
        if !library::in_old_library(number) {
            return Some(String::new());
        }
        // Before 1985 the other had no number: zeros around the day of birth.
        let other = "000000580101000";
        let male = number.as_bytes().last().is_some_and(|digit| digit % 2 == 1);
        let (man, woman) = if male { (number, other) } else { (other, number) };
        Some(format!(
            "< MARRY_RETRUN ><!—— 男方 ——><CARD_MAN>{man}</CARD_MAN><CERT_TYPE_MAN >1</CERT_TYPE_MAN>\
             <CARD_WOMAN>{woman}</ CARD_WOMAN><OP_DATE>1984-10-01 00:00:00.0</OP_DATE>\
             <OP_TYPE>IA</OP _TYPE><DEPT_CODE>230102</DEPT_CODE><DEPT_NAME>哈尔滨市道里区民政局 & 街道</DEPT_NAME>\
             </MARRY_RETRUN>"
        ))
    }
}
