//! Comma-separated lines (RFC 4180 without line breaks inside a field), read as a stream: a line
//! is a row, so that a stray quotation mark spoils one row and not the rest of the file.

use std::io::{self, BufRead, Read as _};

/// Longest line taken; the forms need a few hundred bytes.
const LINE_BYTES: u64 = 64 << 10;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Row,
    /// Nothing but blanks.
    Blank,
    Bad(&'static str),
    End,
}

pub(super) struct Lines<R> {
    input: R,
    number: u32,
    bytes: u64,
    raw: Vec<u8>,
    text: String,
    ends: Vec<usize>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, bytes: 0, raw: Vec::new(), text: String::new(), ends: Vec::new() }
    }

    /// Number of the line read last, from 1.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Bytes read so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The field at that place without blanks around it; empty when the row is shorter.
    pub(super) fn field(&self, place: usize) -> &str {
        let from = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let to = self.ends.get(place).copied();
        let text = to.and_then(|to| self.text.get(from.unwrap_or(0)..to));
        text.unwrap_or_default().trim()
    }

    pub(super) const fn fields(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn advance(&mut self) -> io::Result<Line> {
        self.raw.clear();
        let read = (&mut self.input).take(LINE_BYTES).read_until(b'\n', &mut self.raw)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.number = self.number.saturating_add(1);
        self.bytes += read as u64;
        if read as u64 == LINE_BYTES && !self.raw.ends_with(b"\n") {
            self.skip()?;
            return Ok(Line::Bad("is longer than 64 KiB; is a line break missing?"));
        }
        Ok(self.split())
    }

    /// Passes over the rest of a line that is too long.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            self.raw.clear();
            let read = (&mut self.input).take(LINE_BYTES).read_until(b'\n', &mut self.raw)?;
            self.bytes += read as u64;
            if read == 0 || self.raw.ends_with(b"\n") {
                return Ok(());
            }
        }
    }

    fn split(&mut self) -> Line {
        self.text.clear();
        self.ends.clear();
        let Ok(line) = std::str::from_utf8(&self.raw) else {
            return Line::Bad("is not UTF-8; export the file as CSV UTF-8");
        };
        let line = line.trim_end_matches(['\n', '\r']);
        let line = if self.number == 1 { line.trim_start_matches('\u{feff}') } else { line };
        if line.trim().is_empty() {
            return Line::Blank;
        }
        let mut rest = line;
        loop {
            let inner = rest.trim_start();
            if let Some(quoted) = inner.strip_prefix('"') {
                let Some(after) = unquote(quoted, &mut self.text) else {
                    return Line::Bad("opens a quotation mark and does not close it");
                };
                rest = after.trim_start();
                if !(rest.is_empty() || rest.starts_with(',')) {
                    return Line::Bad("has text after a closing quotation mark");
                }
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                self.text.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            self.ends.push(self.text.len());
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return Line::Row,
            }
        }
    }
}

/// Appends what stands before the closing mark; a doubled mark is one. Returns what follows.
fn unquote<'a>(mut rest: &'a str, out: &mut String) -> Option<&'a str> {
    loop {
        let mark = rest.find('"')?;
        out.push_str(&rest[..mark]);
        rest = &rest[mark + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return Some(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> Vec<(Line, Vec<String>)> {
        let mut lines = Lines::new(text);
        let mut rows = Vec::new();
        loop {
            let line = lines.advance().unwrap();
            if line == Line::End {
                return rows;
            }
            let fields = (0..lines.fields()).map(|place| lines.field(place).to_owned()).collect();
            rows.push((line, fields));
        }
    }

    #[test]
    fn quotes_blanks_and_line_ends_are_read() {
        let read = rows("\u{feff}a, b ,\"c,\"\"d\"\"\"\r\n\n,\n".as_bytes());
        assert_eq!(read[0], (Line::Row, vec!["a".into(), "b".into(), "c,\"d\"".into()]));
        assert_eq!(read[1].0, Line::Blank);
        assert_eq!(read[2], (Line::Row, vec![String::new(), String::new()]));
    }

    #[test]
    fn a_spoilt_line_spoils_itself_alone() {
        let long = "x".repeat(200_000);
        let text = format!("\"a,b\nc\n{long}\n\"a\"b\n\nd");
        let read = rows(text.as_bytes());
        assert!(matches!(read[0].0, Line::Bad(_)));
        assert_eq!(read[1], (Line::Row, vec!["c".into()]));
        assert!(matches!(read[2].0, Line::Bad(_)));
        assert!(matches!(read[3].0, Line::Bad(_)));
        assert_eq!(read[5], (Line::Row, vec!["d".into()]));
        assert!(matches!(rows(b"\xb2\xd0\n")[0].0, Line::Bad(_)));
    }
}
