//! A realistic pair of lists for `tongban compare`, with planted differences of every kind and
//! cases at the boundary that are none. Depends on nothing; the whole-system test uses it too.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

/// What must be found: kind, line of the payment, line in the national list, fen. Line 0: none.
pub(super) type Planted = (&'static str, usize, usize, u32);

/// The kinds, in the order they are planted in.
const KINDS: [&str; 19] = [
    "paid_twice",
    "not_listed",
    "dead",
    "moved_out",
    "drawn_elsewhere",
    "tekun",
    "work_injury",
    "orphan",
    "certificate_expired",
    "level_too_low",
    "not_needy",
    "ended",
    "paid_too_much",
    "not_paid",
    "not_applied",
    "paid_too_little",
    "name_differs",
    "unclear",
    "listed_twice",
];
/// What looks like a difference and is none.
const BOUNDARIES: [&str; 9] = [
    "died_within",
    "expires_within",
    "moved_within",
    "ended_unpaid",
    "mild_unpaid",
    "orphan_nursing",
    "elsewhere_unpaid",
    "ended_elsewhere",
    "dead_unpaid",
];
const HOME: &str = "230102001000";
const AWAY: &str = "440106005000";

/// One person and subsidy, as the national list has it.
#[derive(Clone)]
struct Row {
    number: String,
    name: String,
    nursing: bool,
    amount: u32,
    huji: &'static str,
    level: u8,
    valid: &'static str,
    hardship: &'static str,
    tekun: &'static str,
    injury: &'static str,
    orphan: &'static str,
    pay: &'static str,
    status: &'static str,
    death: &'static str,
    moved: &'static str,
}

/// Writes `paid.csv` and `national.csv` with about `rows` rows each, and says what is planted,
/// `each` times a kind; the lines of two unreadable rows a list come as `unreadable_row`.
pub(super) fn write(folder: &Path, rows: usize, each: usize) -> io::Result<Vec<Planted>> {
    let mut paid = Vec::with_capacity(rows + each);
    let mut national = Vec::with_capacity(rows + 2 * each);
    // Who a difference belongs to; the lines follow when the order is known.
    let mut expected: Vec<(&'static str, Option<usize>, Option<usize>, u32)> = Vec::new();
    for index in 0..rows {
        let what = index / each.max(1);
        let kind = KINDS.get(what).or_else(|| BOUNDARIES.get(what.wrapping_sub(KINDS.len())));
        let kind = kind.copied().unwrap_or("");
        let mut row = person(index);
        let pays = plant(&mut row, kind);
        let mut amount = row.amount;
        let mut name = row.name.clone();
        match kind {
            "paid_too_much" => amount += 700,
            "paid_too_little" => amount -= 300,
            "name_differs" => name = "赵改名".into(),
            _ => {}
        }
        let fen = at_stake(kind, amount);
        let mut at_paid = None;
        if pays {
            at_paid = Some(paid.len());
            paid.push((spelt(&row.number, index), spaced(&name, index), row.nursing, amount));
        }
        if kind == "paid_twice" {
            at_paid = Some(paid.len());
            paid.push((spelt(&row.number, index + 1), name, row.nursing, amount));
        }
        let mut at_national = None;
        if kind != "not_listed" {
            at_national = Some(national.len());
            national.push(row.clone());
        }
        match kind {
            "drawn_elsewhere" | "elsewhere_unpaid" | "ended_elsewhere" => {
                let status = if kind == "ended_elsewhere" { "3" } else { "1" };
                at_national = Some(national.len());
                national.push(Row { pay: AWAY, status, ..row });
            }
            "listed_twice" => {
                at_national = Some(national.len());
                at_paid = None;
                national.push(row);
            }
            _ => {}
        }
        if KINDS.contains(&kind) {
            expected.push((kind, at_paid, at_national, fen));
        }
    }
    let place = |at: usize, len: usize| scattered(at, len) + 2;
    let lines = (paid.len(), national.len());
    // The second of two rows is the one that stands further down.
    let pair = |at: usize, len: usize| place(at, len).max(place(at - 1, len));
    let mut planted: Vec<Planted> = expected
        .into_iter()
        .map(|(kind, payment, record, fen)| {
            let payment = payment.map_or(0, |at| match kind {
                "paid_twice" => pair(at, lines.0),
                _ => place(at, lines.0),
            });
            let record = record.map_or(0, |at| match kind {
                "listed_twice" => pair(at, lines.1),
                _ => place(at, lines.1),
            });
            (kind, payment, record, fen)
        })
        .collect();
    write_paid(&folder.join("paid.csv"), &paid)?;
    write_national(&folder.join("national.csv"), &national)?;
    for line in [lines.0 + 2, lines.0 + 3] {
        planted.push(("unreadable_row", line, 0, 0));
    }
    for line in [lines.1 + 2, lines.1 + 3] {
        planted.push(("unreadable_row", 0, line, 0));
    }
    planted.sort_unstable();
    Ok(planted)
}

/// Changes the record as the kind says; whether the person is paid.
fn plant(row: &mut Row, kind: &str) -> bool {
    match kind {
        "dead" | "dead_unpaid" => row.death = "2026-09-30",
        "died_within" => row.death = "2026-10-01",
        "moved_out" => (row.huji, row.moved) = (AWAY, "2026年9月2日"),
        "moved_within" => (row.huji, row.moved) = (AWAY, "2026-10-02"),
        "tekun" => row.tekun = "是",
        "work_injury" => row.injury = "1",
        "orphan" => (row.orphan, row.nursing) = ("1", false),
        "orphan_nursing" => (row.orphan, row.nursing) = ("1", true),
        "certificate_expired" => row.valid = "2026/09/30",
        "expires_within" => row.valid = "20261001",
        "level_too_low" | "mild_unpaid" => (row.level, row.nursing) = (3, true),
        "not_needy" => (row.hardship, row.nursing) = ("0", false),
        "ended" | "ended_unpaid" => row.status = "3",
        "not_applied" => (row.status, row.pay) = ("0", ""),
        "unclear" => row.valid = "",
        _ => {}
    }
    let unpaid = matches!(kind, "not_paid" | "not_applied" | "elsewhere_unpaid");
    !(unpaid || kind.ends_with("_unpaid"))
}

fn at_stake(kind: &str, amount: u32) -> u32 {
    match kind {
        "paid_too_much" => 700,
        "paid_too_little" => 300,
        "name_differs" | "listed_twice" => 0,
        _ => amount,
    }
}

fn person(index: usize) -> Row {
    let (sequence, rest) = (index % 900, index / 900);
    let (day, rest) = (rest % 28 + 1, rest / 28);
    let (month, year) = (rest % 12 + 1, rest / 12 % 60 + 1940);
    let digits = format!("230102{year}{month:02}{day:02}{sequence:03}");
    let nursing = index % 7 > 3;
    Row {
        number: format!("{digits}{}", check(&digits)),
        name: ["王秀英", "李明", "阿依古丽·买买提", "张伟", "刘洋"][index % 5].into(),
        nursing,
        amount: if nursing { 12_400 } else { 15_420 },
        huji: HOME,
        level: 1 + u8::from(index % 2 == 1),
        valid: if index.is_multiple_of(3) { "长期" } else { "2031-05-31" },
        hardship: if index.is_multiple_of(4) { "2" } else { "1" },
        tekun: "0",
        injury: "否",
        orphan: "0",
        pay: HOME,
        status: "1",
        death: "",
        moved: "",
    }
}

/// The check character, written apart from the gateway's (GB 11643-1999).
fn check(digits: &str) -> char {
    let sum = digits.bytes().fold(0, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    char::from(b"10X98765432"[sum as usize])
}

/// The number as a clerk may have typed it.
fn spelt(number: &str, index: usize) -> String {
    match index % 6 {
        0 => number.to_lowercase(),
        1 => format!("{}{}", &number[..6], &number[8..17]),
        2 => number.chars().map(wide).collect(),
        3 => format!(" {} {}", &number[..6], &number[6..]),
        _ => number.into(),
    }
}

fn wide(letter: char) -> char {
    char::from_u32(u32::from(letter) + 0xfee0).unwrap_or(letter)
}

fn spaced(name: &str, index: usize) -> String {
    if index.is_multiple_of(11) { name.replace('·', " • ") } else { name.into() }
}

/// Where a row stands: no list has the order of the other.
fn scattered(at: usize, len: usize) -> usize {
    let mut step = len * 3 / 5 + len % 7;
    while gcd(step, len) != 1 {
        step += 1;
    }
    at * step % len
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn ordered<T>(rows: &[T]) -> Vec<&T> {
    let mut out: Vec<_> =
        rows.iter().enumerate().map(|(at, row)| (scattered(at, rows.len()), row)).collect();
    out.sort_unstable_by_key(|(place, _)| *place);
    out.into_iter().map(|(_, row)| row).collect()
}

fn write_paid(path: &Path, rows: &[(String, String, bool, u32)]) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    writeln!(file, "\u{feff}姓名,身份证号,补贴类型,发放金额,发放月份,备注")?;
    for (number, name, nursing, amount) in ordered(rows) {
        let subsidy = if *nursing { "护理补贴" } else { "生活补贴" };
        let (yuan, cents) = (amount / 100, amount % 100);
        writeln!(file, "\"{name}\",{number},{subsidy},{yuan}.{cents:02},2026-10,\"按月, 发放\"\r")?;
    }
    writeln!(file, "王秀英,23010219400101,1,154.20,2026-10,")?;
    writeln!(file, "王秀英,230102199913010019,1,154.20,2026-10,")?;
    file.flush()
}

fn write_national(path: &Path, rows: &[Row]) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    writeln!(
        file,
        "id_card,name,subsidy,amount,huji_code,disability_category,level,cert_valid_to,\
         hardship_type,is_tekun,is_work_injury,is_orphan,pay_code,status,death_date,moved_on"
    )?;
    for row in ordered(rows) {
        writeln!(
            file,
            "{},{},{},{}.{:02},{},4,{},{},{},{},{},{},{},{},{},{}",
            row.number,
            row.name,
            1 + u8::from(row.nursing),
            row.amount / 100,
            row.amount % 100,
            row.huji,
            row.level,
            row.valid,
            row.hardship,
            row.tekun,
            row.injury,
            row.orphan,
            row.pay,
            row.status,
            row.death,
            row.moved,
        )?;
    }
    writeln!(file, "23010219400101001X,王秀英,3,154.20,230102,4,1,,1,0,0,0,,,,")?;
    writeln!(file, "too,few,columns")?;
    file.flush()
}
