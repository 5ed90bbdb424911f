//! The two lists: their columns under either name, and a row of each in a few bytes. The forms are
//! written down in `docs/reconciliation.md`.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufRead},
};

use crate::reconcile::{
    lines::{Line, Lines},
    number::Number,
};

/// Rows between two reports of progress.
const STRIDE: u32 = 4096;
/// Most that a row may hold, fen; beyond it the unit is surely wrong.
const MOST_FEN: u64 = 100_000_000;

/// A month, counted from January of the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(u16);

impl Month {
    /// Later than any date.
    pub(super) const NEVER: Self = Self(u16::MAX);

    /// Reads `2026-10`, `202610`, `2026/10`, `2026年10月`, or a date, whose day is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = String::with_capacity(8);
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        let first = parts.next()?;
        digits.push_str(first);
        for part in parts {
            if part.len() > 2 {
                break; // The time of day with its fraction.
            }
            if digits.len() < 8 {
                digits.push_str(if part.len() == 1 { "0" } else { "" });
                digits.push_str(part);
            }
        }
        let year: i16 = digits.get(..4)?.parse().ok()?;
        let month: i8 = digits.get(4..6)?.parse().ok()?;
        let day: i8 = match digits.len() {
            6 => 1,
            8 => digits.get(6..)?.parse().ok()?,
            _ => return None,
        };
        jiff::civil::Date::new(year, month, day).ok().filter(|_| year >= 1900)?;
        Some(Self(u16::try_from(i32::from(year) * 12 + i32::from(month) - 1).ok()?))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

/// What the comparison goes by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The month that was paid for.
    pub month: Month,
    /// The province that paid, two digits.
    pub province: u8,
    /// Hardship kinds (困难类别) that give the living subsidy, by code.
    pub hardship: [bool; 10],
    /// The lowest level of an intellectual or mental disability that gives the nursing subsidy.
    pub nursing_extended: u8,
}

/// A row that cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Line in its file, from 1.
    pub line: u32,
    /// The column, in the form's name; empty for the whole row.
    pub column: &'static str,
    /// What is wrong and what to do.
    pub what: &'static str,
}

/// Why a list cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file or the place faults go to.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The header.
    #[error("line 1: {0}")]
    Header(String),
}

/// A payment.
#[derive(Clone, Copy, Debug)]
pub struct Paid {
    pub(super) key: u64,
    pub(super) name: u32,
    pub(super) amount: u32,
    pub(super) line: u32,
}

/// A line of the national list.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    pub(super) key: u64,
    pub(super) name: u32,
    pub(super) amount: u32,
    pub(super) line: u32,
    pub(super) death: Month,
    pub(super) moved: Month,
    /// The certificate's last month.
    pub(super) valid: Option<Month>,
    pub(super) household: u8,
    /// Province that pays; 0 for none.
    pub(super) payer: u8,
    pub(super) category: u8,
    pub(super) level: u8,
    /// Hardship kind; 0 for none.
    pub(super) hardship: Option<u8>,
    pub(super) status: u8,
    pub(super) tekun: Option<bool>,
    pub(super) work_injury: Option<bool>,
    pub(super) orphan: Option<bool>,
}

/// The national list's `status`.
pub(super) const NOT_APPLIED: u8 = 0;
pub(super) const ACTIVE: u8 = 1;

struct Column {
    name: &'static str,
    aliases: &'static [&'static str],
    required: bool,
}

const fn column(name: &'static str, aliases: &'static [&'static str], required: bool) -> Column {
    Column { name, aliases, required }
}

const PAID: [Column; 5] = [
    column("id_card", &["身份证号", "公民身份号码", "身份证号码"], true),
    column("name", &["姓名"], true),
    column("subsidy", &["补贴类型", "补贴种类"], true),
    column("amount", &["发放金额", "金额"], true),
    column("month", &["发放月份", "月份"], false),
];

const LISTED: [Column; 16] = [
    column("id_card", &["身份证号", "公民身份号码", "身份证号码"], true),
    column("name", &["姓名"], true),
    column("subsidy", &["补贴类型", "补贴种类"], true),
    column("amount", &["补贴标准", "金额"], true),
    column("huji_code", &["户籍地", "户籍地代码"], true),
    column("disability_category", &["残疾类别"], true),
    column("level", &["残疾等级"], true),
    column("cert_valid_to", &["有效期止"], true),
    column("hardship_type", &["困难类别"], true),
    column("is_tekun", &["特困"], true),
    column("is_work_injury", &["工伤护理费"], true),
    column("is_orphan", &["孤儿"], true),
    column("pay_code", &["发放地", "发放地代码"], true),
    column("status", &["状态"], false),
    column("death_date", &["死亡日期"], false),
    column("moved_on", &["户籍迁出日期"], false),
];

/// Where each column of a form stands in this file.
fn places<R: BufRead, const N: usize>(
    lines: &mut Lines<R>,
    form: &[Column; N],
) -> Result<[usize; N], ReadError> {
    match lines.advance()? {
        Line::Row => {}
        Line::End | Line::Blank => return Err(ReadError::Header("the header is missing".into())),
        Line::Bad(what) => return Err(ReadError::Header(what.into())),
    }
    let mut places = [usize::MAX; N];
    for place in 0..lines.fields() {
        let header = lines.field(place);
        let known = form.iter().position(|column| {
            column.name.eq_ignore_ascii_case(header) || column.aliases.contains(&header)
        });
        let Some(known) = known else { continue };
        if places[known] != usize::MAX {
            return Err(ReadError::Header(format!("{} stands there twice", form[known].name)));
        }
        places[known] = place;
    }
    let missing: Vec<String> = form
        .iter()
        .zip(places)
        .filter(|(column, place)| column.required && *place == usize::MAX)
        .map(|(column, _)| format!("{} ({})", column.name, column.aliases[0]))
        .collect();
    if missing.is_empty() {
        return Ok(places);
    }
    Err(ReadError::Header(format!("columns are missing: {}", missing.join(", "))))
}

type Wrong = (&'static str, &'static str);

/// Reads the payments; what cannot be read goes to `fault`, one by one, and is left out.
///
/// # Errors
/// The header, or reading.
pub fn read_paid<R: BufRead>(
    input: R,
    terms: &Terms,
    progress: impl FnMut(u64),
    fault: impl FnMut(RowFault) -> io::Result<()>,
) -> Result<Vec<Paid>, ReadError> {
    let month = terms.month;
    read(input, &PAID, (progress, fault), |lines, [id, name, subsidy, amount, paid_for]| {
        let paid_for = lines.field(*paid_for);
        if !paid_for.is_empty() {
            let paid_for = Month::parse(paid_for).ok_or(("month", "must be yyyy-MM"))?;
            if paid_for != month {
                return Err(("month", "is not the month that is compared; leave such rows out"));
            }
        }
        Ok(Paid {
            key: key(lines.field(*id), lines.field(*subsidy))?,
            name: folded(lines.field(*name)),
            amount: fen(lines.field(*amount)).map_err(|what| ("amount", what))?,
            line: lines.number(),
        })
    })
}

/// Reads the national list; what cannot be read goes to `fault`, one by one, and is left out.
///
/// # Errors
/// The header, or reading.
pub fn read_listed<R: BufRead>(
    input: R,
    progress: impl FnMut(u64),
    fault: impl FnMut(RowFault) -> io::Result<()>,
) -> Result<Vec<Listed>, ReadError> {
    read(input, &LISTED, (progress, fault), |lines, places| {
        let text = |column: usize| lines.field(places[column]);
        let date = |column: usize| match text(column) {
            "" => Ok(None),
            text => match Month::parse(text) {
                Some(month) => Ok(Some(month)),
                None => Err((LISTED[column].name, "must be a date, yyyy-MM-dd")),
            },
        };
        let yes = |column: usize| match text(column) {
            "" => Ok(None),
            "1" | "是" | "true" | "Y" | "y" => Ok(Some(true)),
            "0" | "否" | "false" | "N" | "n" => Ok(Some(false)),
            _ => Err((LISTED[column].name, "must be 1 or 0, 是 or 否")),
        };
        let code = |column: usize, most: u8| match text(column) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(code) if code <= most => Ok(Some(code)),
                _ => Err((LISTED[column].name, "is no code of this column; see the form")),
            },
        };
        let payer = match text(12) {
            "" => 0,
            text => province(text).ok_or(("pay_code", "must be a division code"))?,
        };
        let applied = if payer == 0 { NOT_APPLIED } else { ACTIVE };
        let valid = if text(7) == "长期" { Some(Month::NEVER) } else { date(7)? };
        Ok(Listed {
            key: key(text(0), text(2))?,
            name: folded(text(1)),
            amount: fen(text(3)).map_err(|what| ("amount", what))?,
            line: lines.number(),
            household: province(text(4)).ok_or(("huji_code", "must be a division code"))?,
            category: code(5, 7)?.unwrap_or(0),
            level: code(6, 4)?.unwrap_or(0),
            valid,
            hardship: code(8, 9)?,
            tekun: yes(9)?,
            work_injury: yes(10)?,
            orphan: yes(11)?,
            payer,
            status: code(13, 3)?.unwrap_or(applied),
            death: date(14)?.unwrap_or(Month::NEVER),
            moved: date(15)?.unwrap_or(Month::NEVER),
        })
    })
}

fn read<R: BufRead, T, const N: usize>(
    input: R,
    form: &[Column; N],
    (mut progress, mut fault): (impl FnMut(u64), impl FnMut(RowFault) -> io::Result<()>),
    row: impl Fn(&Lines<R>, &[usize; N]) -> Result<T, Wrong>,
) -> Result<Vec<T>, ReadError> {
    let mut lines = Lines::new(input);
    let places = places(&mut lines, form)?;
    let most = places.iter().filter(|place| **place != usize::MAX).max().copied().unwrap_or(0);
    let mut rows = Vec::new();
    loop {
        let wrong = match lines.advance()? {
            Line::End => break,
            Line::Blank => continue,
            Line::Bad(what) => Err(("", what)),
            Line::Row if lines.fields() <= most => Err(("", "has too few columns")),
            Line::Row => row(&lines, &places),
        };
        match wrong {
            Ok(row) => rows.push(row),
            Err((column, what)) => fault(RowFault { line: lines.number(), column, what })?,
        }
        if lines.number().is_multiple_of(STRIDE) {
            progress(lines.bytes());
        }
    }
    progress(lines.bytes());
    Ok(rows)
}

fn key(id: &str, subsidy: &str) -> Result<u64, Wrong> {
    let number = Number::parse(id).map_err(|what| ("id_card", what))?;
    let nursing = match subsidy {
        "1" | "生活补贴" | "困难残疾人生活补贴" => false,
        "2" | "护理补贴" | "重度残疾人护理补贴" => true,
        _ => return Err(("subsidy", "must be 1 (living) or 2 (nursing); both are two rows")),
    };
    Ok(number.beside(nursing))
}

fn province(code: &str) -> Option<u8> {
    let digits = (2..=12).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
    let province: u8 = code.get(..2).filter(|_| digits)?.parse().ok()?;
    (province >= 11).then_some(province)
}

/// Yuan with at most two decimals, as fen.
fn fen(text: &str) -> Result<u32, &'static str> {
    const FORM: &str = "must be yuan above 0 with at most two decimals; recoveries are left out";
    let (yuan, cents) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if yuan.is_empty() || yuan.len() > 9 || cents.len() > 2 || !digits(yuan) || !digits(cents) {
        return Err(FORM);
    }
    let cents = match cents.len() {
        0 => 0,
        1 => cents.parse::<u64>().map_err(|_| FORM)? * 10,
        _ => cents.parse::<u64>().map_err(|_| FORM)?,
    };
    let fen = yuan.parse::<u64>().map_err(|_| FORM)? * 100 + cents;
    if fen > MOST_FEN {
        return Err("is above 1,000,000 yuan; is it in fen?");
    }
    u32::try_from(fen).ok().filter(|fen| *fen > 0).ok_or(FORM)
}

/// A digest of the name without blanks, dots and width; 0 when there is none.
fn folded(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    let mut any = false;
    for letter in name.chars() {
        if letter.is_whitespace() || "·•・‧∙●.．。-".contains(letter) {
            continue;
        }
        let narrow = match letter {
            '！'..='～' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
            other => other,
        };
        narrow.to_ascii_uppercase().hash(&mut hasher);
        any = true;
    }
    let folded = hasher.finish() >> 32;
    if any { u32::try_from(folded).unwrap_or(1).max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_money_are_read_in_every_spelling() {
        let month = Month::parse("2026-10");
        assert_eq!(month.map(|month| month.to_string()).as_deref(), Some("2026-10"));
        for text in ["202610", "2026/10", "2026年10月", "2026-10-31", "20261031", "2026年10月1日"]
        {
            assert_eq!(Month::parse(text), month, "{text}");
        }
        for text in ["", "2026", "2026-13", "2026-02-30", "十月", "1026-10-1-1-1-1"] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
        assert_eq!(fen("154.2"), Ok(15420));
        assert_eq!(fen("154"), Ok(15400));
        assert_eq!(fen("0.01"), Ok(1));
        for text in ["", "0", "-5", "1,000", "1.234", "１", "99999999", "."] {
            assert!(fen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_every_spelling() {
        assert_eq!(folded("阿依古丽·买买提"), folded("阿依古丽 • 买买提"));
        assert_eq!(folded("ｌｉ明"), folded("LI明"));
        assert_ne!(folded("张三"), folded("张叁"));
        assert_eq!(folded("  "), 0);
    }

    #[test]
    fn a_header_that_lacks_columns_names_them_all() {
        let terms = Terms {
            month: Month::parse("2026-10").unwrap(),
            province: 23,
            hardship: [false; 10],
            nursing_extended: 2,
        };
        let read = read_paid("姓名,note\n".as_bytes(), &terms, |_| {}, |_| Ok(()));
        let told = read.unwrap_err().to_string();
        for name in ["id_card", "subsidy", "amount"] {
            assert!(told.contains(name), "{told}");
        }
    }
}
