//! Mends the XML of the old provincial marriage web service (Inspur 2013; domain.md §7 \[S26c\]),
//! which is not well-formed: comments opened with a long dash, tags with blanks in them. Pure, and
//! changes nothing in XML that is well-formed: each repair begins at something that cannot stand
//! there in well-formed XML.

/// The text with every known damage mended; what is damaged otherwise stays so, and the parser
/// then refuses it.
pub(super) fn repair(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest =
            if rest.starts_with('&') { reference(rest, &mut out) } else { markup(rest, &mut out) };
    }
    out.push_str(rest);
    out
}

/// An ampersand that begins no reference stands for itself.
fn reference<'t>(text: &'t str, out: &mut String) -> &'t str {
    let name = text[1..].split_once(';').map(|(name, _)| name).unwrap_or_default();
    let number = name.strip_prefix('#').is_some_and(|digits| {
        let digits = digits.strip_prefix('x').unwrap_or(digits);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let named = name.starts_with(begins_name) && name.chars().all(in_name);
    out.push_str(if number || named { "&" } else { "&amp;" });
    &text[1..]
}

/// What begins with `<`, mended into `out`; returns what follows it.
fn markup<'t>(text: &'t str, out: &mut String) -> &'t str {
    for (open, close) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
        if let Some(inner) = text.strip_prefix(open) {
            let end = inner.find(close);
            let end = end.map_or(text.len(), |end| open.len() + end + close.len());
            out.push_str(&text[..end]);
            return &text[end..];
        }
    }
    if let Some(inner) = text.strip_prefix("<!").filter(|inner| inner.starts_with(is_dash)) {
        // A comment opened with a long dash, or with one: it goes, whatever dash closes it.
        return after_comment(inner);
    }
    if text.starts_with("<!") {
        // A document type: the parser refuses it, whole.
        out.push_str(text);
        return "";
    }
    tag(text, out)
}

/// What follows the first `>` that has a dash before it; nothing when there is none.
fn after_comment(inner: &str) -> &str {
    let mut from = 0;
    while let Some(found) = inner[from..].find('>') {
        let end = from + found;
        // `<!—>`: the dash that opened it does not close it.
        if inner[..end].ends_with(is_dash) && inner[..end].chars().count() > 1 {
            return &inner[end + 1..];
        }
        from = end + 1;
    }
    ""
}

fn tag<'t>(text: &'t str, out: &mut String) -> &'t str {
    let Some(end) = end_of_tag(text) else {
        out.push_str("&lt;");
        return &text[1..];
    };
    let inner = &text[1..end];
    let after = &text[end + 1..];
    let lead = inner.trim_start();
    let closing = lead.strip_prefix('/');
    let body = closing.unwrap_or(lead).trim();
    let (body, empty) = match body.strip_suffix('/').filter(|_| closing.is_none()) {
        Some(body) => (body.trim_end(), true),
        None => (body, false),
    };
    if !body.starts_with(begins_name) {
        // `年龄<22`: no tag at all.
        out.push_str("&lt;");
        return &text[1..];
    }
    let blank_inside = body.contains(char::is_whitespace) && !body.contains(['=', '"', '\'']);
    let blank_before = inner.starts_with(char::is_whitespace)
        || closing.is_some_and(|rest| rest.starts_with(char::is_whitespace));
    let blank_in_end = empty && !inner.ends_with('/');
    if !(blank_inside || blank_before || blank_in_end) {
        out.push_str(&text[..=end]);
        return after;
    }
    out.push('<');
    if closing.is_some() {
        out.push('/');
    }
    if blank_inside {
        // No attributes, so the parts are one name.
        out.extend(body.chars().filter(|c| !c.is_whitespace()));
    } else {
        out.push_str(body);
    }
    out.push_str(if empty { "/>" } else { ">" });
    after
}

/// Where the tag ends; `None` when another begins before that, or the text does.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return Some(at),
            (None, '<') => return None,
            (None, _) => {}
        }
    }
    None
}

/// Hyphen, figure dash, en dash, em dash, horizontal bar, box line, full-width hyphen.
fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2500}' | '\u{ff0d}')
}

fn begins_name(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | ':')
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.' | '\u{b7}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_known_damage_is_mended() {
        let cases = [
            // Comments opened with a long dash, closed with any.
            ("<a><!— 男方 --><b>1</b></a>", "<a><b>1</b></a>"),
            ("<a><!—— 男方 ——><b>1</b></a>", "<a><b>1</b></a>"),
            ("<a><!– x > y —><b>1</b></a>", "<a><b>1</b></a>"),
            ("<a><!- x -><b>1</b></a>", "<a><b>1</b></a>"),
            ("<!— never closed <b>1</b>", ""),
            // Blanks in tags.
            ("< NAME_MAN >王</ NAME_MAN >", "<NAME_MAN>王</NAME_MAN>"),
            ("<NAME_MAN>王< /NAME_MAN>", "<NAME_MAN>王</NAME_MAN>"),
            ("<NAME _MAN>王</NAME_ MAN>", "<NAME_MAN>王</NAME_MAN>"),
            ("< CERT_NO / >", "<CERT_NO/>"),
            ("< A b=\"1\" >x</A>", "<A b=\"1\">x</A>"),
            // Signs that were never escaped.
            ("<DEPT>A&B局 & C</DEPT>", "<DEPT>A&amp;B局 &amp; C</DEPT>"),
            ("<NOTE>年龄<22 且 a < b</NOTE>", "<NOTE>年龄&lt;22 且 a &lt; b</NOTE>"),
        ];
        for (damaged, mended) in cases {
            assert_eq!(repair(damaged), mended);
            assert_eq!(repair(mended), mended);
        }
    }

    #[test]
    fn well_formed_look_alikes_stay() {
        for text in [
            "<!-- a —> b < c & d --><a/>",
            "<a><![CDATA[< x & <!— y —>]]></a>",
            "<?xml version=\"1.0\" encoding=\"GBK\"?>\n<a />",
            "<a b = '>' c=\"<!—\" />",
            "<a\n\tb='1'\n>&amp;&#20013;&#x4e2d;</a\n>",
            "<中文 属性='值'>—</中文>",
        ] {
            assert_eq!(repair(text), text);
        }
    }

    /// Well-formed XML of any shape: attributes with blanks around `=`, comments, CDATA,
    /// processing instructions, references, blanks where they may stand.
    fn element() -> impl Strategy<Value = String> {
        let name = "[A-Za-z_\u{4e00}-\u{4e2f}][A-Za-z0-9_.\u{b7}-]{0,6}";
        let blank = "[ \t\n]{0,2}";
        let attribute = (name, blank, blank, "[^<&\"\u{0}-\u{1f}]{0,6}")
            .prop_map(|(name, a, b, value)| format!(" x{name}{a}={b}\"{value}\""));
        let attributes = prop::collection::vec(attribute, 0..3).prop_map(|all| all.concat());
        let piece = prop_oneof![
            "[^<&\u{0}-\u{1f}]{0,8}",
            Just("&amp;&lt;&#65;&#x4e2d;".to_owned()),
            "[^\u{0}-\u{1f}-]{0,8}".prop_map(|inner| format!("<!--{inner}-->")),
            "[^\u{0}-\u{1f}\\]]{0,8}".prop_map(|inner| format!("<![CDATA[{inner}]]>")),
            "[^\u{0}-\u{1f}?]{0,8}".prop_map(|inner| format!("<?pi {inner}?>")),
        ];
        let pieces = prop::collection::vec(piece, 0..4).prop_map(|all| all.concat());
        let leaf = (name, attributes.clone(), blank, pieces.clone()).prop_map(
            |(name, attributes, blank, inner)| {
                format!("<{name}{attributes}{blank}>{inner}</{name}{blank}>")
            },
        );
        leaf.prop_recursive(3, 16, 3, move |inner| {
            let empty = (name, attributes.clone(), blank)
                .prop_map(|(name, attributes, blank)| format!("<{name}{attributes}{blank}/>"));
            let child = prop_oneof![inner, empty];
            (name, prop::collection::vec((child, pieces.clone()), 0..3)).prop_map(|(name, all)| {
                let inner: String = all.into_iter().map(|(child, text)| child + &text).collect();
                format!("<{name}>{inner}</{name}>")
            })
        })
    }

    proptest! {
        #[test]
        fn well_formed_xml_is_left_alone(text in element()) {
            // The generator's word on what is well-formed is the parser's.
            let mut reader = quick_xml::Reader::from_str(&text);
            while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
            prop_assert_eq!(repair(&text), text);
        }

        #[test]
        fn nothing_makes_it_fail_and_twice_is_once(text in "[<>&;!/=\"' —–a-c\\[\\]?-]{0,40}") {
            let once = repair(&text);
            prop_assert_eq!(repair(&once), once.clone());
        }
    }
}
