//! W3C trace context (`traceparent`, Trace Context level 1): what a trace is carried by from the
//! caller through store rows and deliveries, days later and in another process.

use std::fmt;

use uuid::Uuid;

/// Trace id, span id of the parent, and the sampled flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// 8 bytes, never all zero: the span that is the parent of what follows.
    pub span_id: [u8; 8],
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Starts a new trace.
    pub fn new() -> Self {
        let trace_id = *Uuid::new_v4().as_bytes();
        Self { trace_id, span_id: Self::fresh_span(), sampled: true }
    }

    /// The same trace with a new span id.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: Self::fresh_span(), ..*self }
    }

    /// Parses a `traceparent` header; `None` when it is malformed, as the standard asks.
    pub fn parse(header: &str) -> Option<Self> {
        let parts: Vec<&str> = header.trim().split('-').collect();
        let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return None };
        let lower =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let well_formed = version.len() == 2
            && *version != "ff"
            && (*version != "00" || rest.is_empty())
            && flags.len() == 2
            && [version, trace, span, flags].iter().all(|part| lower(part));
        if !well_formed {
            return None;
        }
        let mut context = Self { trace_id: [0; 16], span_id: [0; 8], sampled: false };
        hex::decode_to_slice(trace, &mut context.trace_id).ok()?;
        hex::decode_to_slice(span, &mut context.span_id).ok()?;
        context.sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }

    /// The trace id as 32 hexadecimal digits.
    pub fn trace_id_hex(&self) -> String {
        hex::encode(self.trace_id)
    }

    fn fresh_span() -> [u8; 8] {
        let mut span = [0; 8];
        span.copy_from_slice(&Uuid::new_v4().as_bytes()[8..]);
        span
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", hex::encode(self.trace_id), hex::encode(self.span_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn print_and_parse_are_inverse() {
        let context = TraceContext::new();
        assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
    }

    #[test]
    fn malformed_headers_are_refused() {
        for header in [
            "",
            "00-0-0-00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }
}
