//! The leaf of the tamper-evident log (审计日志): what an entry holds and how it is hashed.
//!
//! An entry is one line of canonical JSON (RFC 8785: sorted keys, no blanks) without personal
//! data; its leaf hash is that of RFC 6962, section 2.1: SHA-256 over a zero byte and the entry.
//! `docs/audit.md` is the format's specification. Knows no store and no application.

pub mod tree;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event of an application.
    Event,
    /// A delivery that ended: made, refused for good, parked, replayed or discarded.
    Delivery,
    /// A document or call that was refused.
    Refusal,
    /// A question about people that was asked.
    Access,
    /// What operations or their policy did to the store itself: content purged, a copy restored.
    Operation,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Event, Self::Delivery, Self::Refusal, Self::Access, Self::Operation];

    const fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Delivery => "delivery",
            Self::Refusal => "refusal",
            Self::Access => "access",
            Self::Operation => "operation",
        }
    }
}

/// One entry before it is hashed. Every text in it is a code, an id or a number.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is about.
    pub kind: Kind,
    /// When, microseconds since 1970 UTC.
    pub time: i64,
    /// Code of the party that caused it; `gateway` for the gateway.
    pub party: String,
    /// The system of that party, the token's `sub`; empty for the gateway.
    pub system: String,
    /// Id of the application; empty when there is none.
    pub application: String,
    /// The application's event count after it; 0 when there is no application.
    pub sequence: i64,
    /// What happened: event type, delivery outcome or the reason of the refusal.
    pub what: String,
    /// The state after it, or the operation refused.
    pub state: String,
    /// Commitment to the content, see [`commitment`]; empty when there is none.
    pub content: String,
}

/// An entry as it is stored: its bytes and its leaf hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The canonical JSON.
    pub entry: Vec<u8>,
    /// SHA-256(0x00 ‖ entry).
    pub hash: [u8; 32],
}

impl Entry {
    /// The canonical JSON and its leaf hash.
    pub fn leaf(&self) -> Leaf {
        let mut entry = String::with_capacity(320);
        entry.push('{');
        // Keys stand in the order of their UTF-16 code units, as RFC 8785 asks.
        let texts = [
            ("application", self.application.as_str()),
            ("content", &self.content),
            ("kind", self.kind.word()),
            ("party", &self.party),
        ];
        for (key, value) in texts {
            push_text(&mut entry, key, value);
        }
        entry.push_str(&format!("\"sequence\":{},", self.sequence));
        push_text(&mut entry, "state", &self.state);
        push_text(&mut entry, "system", &self.system);
        entry.push_str(&format!("\"time\":{},\"v\":1,", self.time));
        push_text(&mut entry, "what", &self.what);
        entry.pop();
        entry.push('}');
        let entry = entry.into_bytes();
        Leaf { hash: leaf_hash(&entry), entry }
    }

    /// The entry of those bytes; `None` when they are not what [`Entry::leaf`] writes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let word = text("kind")?;
        let entry = Self {
            kind: Kind::ALL.into_iter().find(|kind| kind.word() == word)?,
            time: value.get("time")?.as_i64()?,
            party: text("party")?,
            system: text("system")?,
            application: text("application")?,
            sequence: value.get("sequence")?.as_i64()?,
            what: text("what")?,
            state: text("state")?,
            content: text("content")?,
        };
        (entry.leaf().entry == bytes).then_some(entry)
    }
}

/// RFC 6962 leaf hash.
pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// HMAC-SHA256 of the content under the application's own random salt, 64 hexadecimal digits.
/// Who holds salt and content can prove what was logged; once the salt is erased, nobody can
/// tell from the log what it was.
pub fn commitment(salt: &[u8; 16], content: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    hex::encode(hmac::sign(&key, content))
}

fn push_text(out: &mut String, key: &str, value: &str) {
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
    // serde_json escapes as RFC 8785 does: the two-character forms, else \u00xx in lower case.
    out.push_str(&serde_json::Value::from(value).to_string());
    out.push(',');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            kind: Kind::Event,
            time: 1_700_000_000_000_000,
            party: "23".into(),
            system: "yth\"\u{1}".into(),
            application: "0190".into(),
            sequence: 1,
            what: "APPLICATION_RECEIVED".into(),
            state: "RECEIVED".into(),
            content: String::new(),
        }
    }

    #[test]
    fn the_entry_is_canonical_json() {
        let leaf = entry().leaf();
        let text = String::from_utf8(leaf.entry).unwrap();
        assert_eq!(
            text,
            "{\"application\":\"0190\",\"content\":\"\",\"kind\":\"event\",\"party\":\"23\",\
             \"sequence\":1,\"state\":\"RECEIVED\",\"system\":\"yth\\\"\\u0001\",\
             \"time\":1700000000000000,\"v\":1,\"what\":\"APPLICATION_RECEIVED\"}"
        );
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written_and_nothing_else_is() {
        for kind in Kind::ALL {
            let written = Entry { kind, ..entry() }.leaf();
            let read = Entry::parse(&written.entry).unwrap();
            assert_eq!((read.kind, read.leaf()), (kind, written));
        }
        let text = String::from_utf8(entry().leaf().entry).unwrap();
        for other in [
            text.replace(",\"v\":1", ",\"v\":2"),
            text.replace(",\"v\"", ", \"v\""),
            text.replace("}", ",\"more\":1}"),
            text.replace("\"event\"", "\"other\""),
            String::new(),
        ] {
            assert!(Entry::parse(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn the_leaf_hash_is_that_of_rfc_6962() {
        // SHA-256 of the single byte 0x00: the leaf hash of the empty entry.
        let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex::encode(leaf_hash(b"")), empty);
    }
}
