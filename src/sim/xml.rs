//! A small XML tree for the systems that speak XML: build, print, read. Shares nothing with the
//! gateway's own reading of XML but the tokenizer.

use anyhow::{Context as _, bail, ensure};
use quick_xml::{XmlVersion, escape::escape, events::Event, reader::Reader};

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Self>,
}

/// Elements nested deeper than any of our documents.
const DEPTH: usize = 32;

impl Element {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With an attribute, unless it is empty.
    pub(super) fn attr(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.attributes.push((name.into(), value.into()));
        }
        self
    }

    /// With a child of plain text, unless it is empty.
    pub(super) fn leaf(self, name: &str, text: &str) -> Self {
        self.with(Self { text: text.into(), ..Self::new(name) })
    }

    /// With a child, unless it holds nothing.
    pub(super) fn with(mut self, child: Self) -> Self {
        let empty =
            child.text.is_empty() && child.attributes.is_empty() && child.children.is_empty();
        if !empty {
            self.children.push(child);
        }
        self
    }

    /// The child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// What stands at a path like `Header.@id` or `Header.From`; empty for nothing.
    pub(super) fn get(&self, path: &str) -> &str {
        let mut at = self;
        for step in path.split('.') {
            if let Some(name) = step.strip_prefix('@') {
                let found = at.attributes.iter().find(|attribute| attribute.0 == name);
                return found.map_or("", |attribute| &attribute.1);
            }
            let Some(child) = at.child(step) else { return "" };
            at = child;
        }
        &at.text
    }

    pub(super) fn print(&self) -> Vec<u8> {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut text);
        text.into_bytes()
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push_str(&format!(" {name}=\"{}\"", escape(value)));
        }
        if self.text.is_empty() && self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        out.push_str(&escape(&self.text));
        for child in &self.children {
            child.write(out);
        }
        out.push_str(&format!("</{}>", self.name));
    }

    /// Reads a document.
    pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("is not UTF-8")?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        loop {
            let closed = match reader.read_event()? {
                Event::Start(tag) => {
                    ensure!(open.len() < DEPTH, "is nested too deeply");
                    open.push(start(&tag)?);
                    None
                }
                Event::Empty(tag) => Some(start(&tag)?),
                Event::End(_) => open.pop(),
                Event::Text(piece) => {
                    push(&mut open, &piece.xml_content(XmlVersion::Explicit1_0));
                    None
                }
                Event::CData(piece) => {
                    push(&mut open, &piece.xml_content(XmlVersion::Explicit1_0));
                    None
                }
                Event::GeneralRef(name) => {
                    let text = match name.resolve_char_ref()? {
                        Some(character) => character.to_string(),
                        None => {
                            entity(name.xml_content(XmlVersion::Explicit1_0).as_ref())?.to_owned()
                        }
                    };
                    push(&mut open, &text);
                    None
                }
                Event::DocType(_) => bail!("has a document type declaration"),
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            };
            if let Some(mut element) = closed {
                element.text = element.text.trim().to_owned();
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => root = Some(element),
                }
            }
        }
        ensure!(open.is_empty(), "ends inside an element");
        root.context("holds no element")
    }
}

fn start(tag: &quick_xml::events::BytesStart<'_>) -> anyhow::Result<Element> {
    let name = tag.name().as_ref().to_owned();
    let mut element = Element { name, ..Element::default() };
    for attribute in tag.attributes() {
        let attribute = attribute?;
        let key = attribute.key.as_ref().to_owned();
        let value = attribute.normalized_value(XmlVersion::Explicit1_0)?.into_owned();
        element.attributes.push((key, value));
    }
    Ok(element)
}

fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn entity(name: &str) -> anyhow::Result<&'static str> {
    Ok(match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        _ => bail!("names an unknown entity"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn print_and_read_are_inverse() {
        let element = Element::new("M")
            .attr("id", "a<\"&")
            .leaf("Name", "买买提·𠅤 & <b>")
            .with(Element::new("List").leaf("Item", "1").leaf("Item", "2"))
            .leaf("Empty", "");
        let read = Element::read(&element.print()).unwrap();
        assert_eq!(read, element);
        assert_eq!(read.get("@id"), "a<\"&");
        assert_eq!(read.get("Name"), "买买提·𠅤 & <b>");
        assert_eq!(read.get("List.Nothing"), "");
    }

    #[test]
    fn broken_documents_are_refused() {
        for text in ["", "<a>", "<a></b>", "<!DOCTYPE a><a/>", "<a>&x;</a>"] {
            assert!(Element::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
