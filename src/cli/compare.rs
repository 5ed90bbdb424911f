//! `tongban compare`: a month's paid disability subsidies against the national list: wrong and
//! missed cover (错保、漏保). `docs/reconciliation.md` has the forms and the rules.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aws_lc_rs::hmac;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sm3::{Digest as _, Sm3};

use crate::{
    business::rules::Rulebook,
    cli::{faulty, say, serve},
    config::Config,
    model::pb::Business,
    reconcile::{
        Cover, Difference, Kind, Month, Number, RowFault, Tally, Terms, compare, read_listed,
        read_paid,
    },
};

/// Arguments of `tongban compare`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What the province paid: CSV, UTF-8, one line a payment.
    #[arg(long, value_name = "CSV")]
    paid: PathBuf,
    /// The national list: CSV, UTF-8, one line per person, subsidy and paying province.
    #[arg(long, value_name = "CSV")]
    national: PathBuf,
    /// The month that was paid for, e.g. 2026-10.
    #[arg(long, value_parser = month)]
    month: Month,
    /// Write every difference and every unreadable row to this file, a line each.
    #[arg(long, value_name = "CSV")]
    out: Option<PathBuf>,
    /// How persons are referred to in --out.
    #[arg(long, value_enum, default_value = "masked")]
    person: Person,
    /// Key for `--person keyed`: a file of 64 hexadecimal digits.
    #[arg(long, value_name = "FILE", required_if_eq("person", "keyed"))]
    key: Option<PathBuf>,
    /// The province that paid, two digits; otherwise the configuration's.
    #[arg(long, value_name = "CODE")]
    province: Option<String>,
    /// Hardship kinds (困难类别) that give the living subsidy; otherwise those of the province's rules:
    /// 1 urban and 2 rural 低保, and what the province adds.
    #[arg(long, value_name = "CODES", value_delimiter = ',',
          value_parser = clap::value_parser!(u8).range(1..=9))]
    hardship: Vec<u8>,
    /// The nursing subsidy goes to levels 1 and 2; for intellectual and mental disability down to
    /// this level; otherwise as the province's rules say.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(2..=4))]
    nursing_extended: Option<u8>,
    /// The configuration, for the province and its rules; `config/tongban.toml` where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How a person is referred to.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Person {
    /// Division and last two characters of the number.
    Masked,
    /// A keyed digest: the same person is the same every month, for who has the key.
    Keyed,
    /// Not at all; the line numbers lead to the row.
    None,
}

fn month(text: &str) -> Result<Month, &'static str> {
    Month::parse(text).ok_or("must be a month, e.g. 2026-10")
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let terms = terms(&arguments)?;
    let bar = bar(&[&arguments.paid, &arguments.national])?;
    let mut out = Out::open(&arguments)?;
    let paid = open(&arguments.paid)?;
    let mut input = BufReader::with_capacity(1 << 20, paid);
    let progress = |bytes: u64| bar.set_position(bytes);
    let mut bad = [0u64; 2];
    let fault = |fault: RowFault| out.fault("paid", fault, &mut bad[0], &bar);
    let mut paid = read_paid(&mut input, &terms, progress, fault)
        .with_context(|| arguments.paid.display().to_string())?;
    let before = bar.position();
    let paid_file = (paid.len(), bad[0], input.into_inner().finish());

    let mut input = BufReader::with_capacity(1 << 20, open(&arguments.national)?);
    let progress = |bytes: u64| bar.set_position(before + bytes);
    let fault = |fault: RowFault| out.fault("national", fault, &mut bad[1], &bar);
    let mut listed = read_listed(&mut input, progress, fault)
        .with_context(|| arguments.national.display().to_string())?;
    let national_file = (listed.len(), bad[1], input.into_inner().finish());
    bar.set_message("comparing");
    let tally = compare(&mut paid, &mut listed, &terms, |difference| out.difference(difference))
        .and_then(|tally| out.finish().map(|()| tally))
        .context("cannot write the differences")?;
    bar.finish_and_clear();

    let files = [("paid", paid_file), ("national", national_file)];
    if arguments.json {
        say(&format!("{}\n", as_json(&terms, &tally, &files, began.elapsed())))?;
    } else {
        say(&as_table(&tally, &files, began.elapsed()))?;
    }
    let unread = bad[0] + bad[1];
    anyhow::ensure!(
        unread == 0,
        "{unread} rows could not be read and were not compared; a payment among them may show as \
         missed, a record as not listed. {}",
        if arguments.out.is_some() { "They are in --out." } else { "They are listed above." }
    );
    Ok(())
}

fn terms(arguments: &Arguments) -> anyhow::Result<Terms> {
    let (config, rules) = configured(arguments)?.unzip();
    let province =
        arguments.province.as_ref().or_else(|| config.as_ref().map(|c| &c.gateway.province));
    let province = province.context("the province is not known; name it with --province")?;
    let two = Some(province).filter(|code| code.len() == 2).and_then(|code| code.parse().ok());
    let (kinds, nursing_extended) = entitled(arguments, province, rules.as_ref())?;
    let mut hardship = [false; 10];
    for code in &kinds {
        if let Some(kind) = hardship.get_mut(usize::from(*code)) {
            *kind = true;
        }
    }
    Ok(Terms {
        month: arguments.month,
        province: two.context("the province must be two digits, e.g. 23")?,
        hardship,
        nursing_extended,
    })
}

/// The configuration that was named, else the usual one where there is one and something is left to
/// it. One that cannot be read is an error: with other rules other payments are wrong.
fn configured(arguments: &Arguments) -> anyhow::Result<Option<(Config, Rulebook)>> {
    const USUAL: &str = "config/tongban.toml";
    let said = arguments.province.is_some()
        && !arguments.hardship.is_empty()
        && arguments.nursing_extended.is_some();
    let path = match &arguments.config {
        Some(path) => path.as_path(),
        None if !said && Path::new(USUAL).exists() => Path::new(USUAL),
        None => return Ok(None),
    };
    serve::rules(path).map(Some).map_err(|faults| faulty(&faults))
}

/// Who is entitled: as asked for, else by the rules of the province, else by those of the country.
fn entitled(
    arguments: &Arguments,
    province: &str,
    rules: Option<&Rulebook>,
) -> anyhow::Result<(Vec<u8>, u8)> {
    let of = |name: &str| {
        rules.map_or_else(Vec::new, |r| r.codes(Business::DisabilitySubsidy, province, name))
    };
    let kinds = match (&arguments.hardship[..], rules) {
        ([], None) => vec![1, 2],
        ([], Some(_)) => of("living_hardship"),
        (kinds, _) => kinds.to_vec(),
    };
    anyhow::ensure!(!kinds.is_empty(), "the rules of disability_subsidy name no `living_hardship`");
    let levels = || of("nursing_levels").into_iter().max().unwrap_or_default();
    // Levels 1 and 2 need no extension.
    let extended = arguments.nursing_extended.unwrap_or_else(levels).max(2);
    if rules.is_none() && (arguments.hardship.is_empty() || arguments.nursing_extended.is_none()) {
        eprintln!(
            "no configuration: compared by the rules of the country; hardship kinds {kinds:?} give the \
             living subsidy, and the nursing subsidy goes down to level {extended}"
        );
    }
    Ok((kinds, extended))
}

/// Hidden by itself where standard error is no terminal.
fn bar(files: &[&Path]) -> anyhow::Result<ProgressBar> {
    let mut bytes = 0;
    for file in files {
        let size = file.metadata().with_context(|| format!("{}", file.display()))?;
        bytes += size.len();
    }
    let bar = ProgressBar::new(bytes).with_message("reading");
    bar.set_style(ProgressStyle::with_template(
        "{msg:<10} {wide_bar} {bytes}/{total_bytes} {elapsed_precise}",
    )?);
    Ok(bar)
}

fn open(path: &Path) -> anyhow::Result<Sealed> {
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    Ok(Sealed { file, digest: Sm3::new() })
}

/// A file whose SM3 digest is taken as it is read: it says which lists were compared.
struct Sealed {
    file: File,
    digest: Sm3,
}

impl Sealed {
    fn finish(self) -> String {
        hex::encode(self.digest.finalize())
    }
}

impl Read for Sealed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

/// Where differences go, one by one.
struct Out {
    file: Option<BufWriter<File>>,
    person: Person,
    key: Option<hmac::Key>,
}

impl Out {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let key = match (&arguments.key, arguments.person) {
            (Some(path), Person::Keyed) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
                let key = hex::decode(text.trim()).ok().filter(|key| key.len() == 32);
                let key = key.with_context(|| {
                    format!("{}: must hold 64 hexadecimal digits", path.display())
                })?;
                Some(hmac::Key::new(hmac::HMAC_SHA256, &key))
            }
            _ => None,
        };
        let mut out = Self { file: None, person: arguments.person, key };
        if let Some(path) = &arguments.out {
            for input in [&arguments.paid, &arguments.national] {
                let same = path
                    .canonicalize()
                    .is_ok_and(|out| input.canonicalize().is_ok_and(|input| input == out));
                anyhow::ensure!(!same, "--out would overwrite {}", input.display());
            }
            // Only its owner reads it: a masked number in a small village is a person.
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
            let mut file = BufWriter::new(file.with_context(|| format!("{}", path.display()))?);
            // The mark that makes spreadsheets read UTF-8.
            file.write_all("\u{feff}".as_bytes())?;
            writeln!(
                file,
                "kind,cover,person,subsidy,paid_line,national_line,amount_fen,explanation,remedy"
            )?;
            out.file = Some(file);
        }
        Ok(out)
    }

    fn fault(
        &mut self,
        list: &str,
        fault: RowFault,
        count: &mut u64,
        bar: &ProgressBar,
    ) -> io::Result<()> {
        *count += 1;
        let what = match fault.column {
            "" => format!("the row {}", fault.what),
            column => format!("{column} {}", fault.what),
        };
        match &mut self.file {
            None => bar.suspend(|| writeln!(io::stderr(), "{list} line {}: {what}", fault.line)),
            Some(file) => {
                let (paid, national) = match list {
                    "paid" => (fault.line.to_string(), String::new()),
                    _ => (String::new(), fault.line.to_string()),
                };
                let remedy = "Correct the row and compare again.";
                writeln!(file, "unreadable_row,,,,{paid},{national},,\"{what}\",\"{remedy}\"")
            }
        }
    }

    fn difference(&mut self, difference: &Difference) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let kind = difference.kind;
        let person = match (self.person, &self.key) {
            (Person::Keyed, Some(key)) => keyed(key, difference.person),
            (Person::Masked, _) => difference.person.masked(),
            _ => String::new(),
        };
        let line = |line: Option<u32>| line.map(|line| line.to_string()).unwrap_or_default();
        write!(
            file,
            "{},{},{person},{},{},{},{},\"{}",
            kind.word(),
            kind.cover().word(),
            if difference.nursing { 2 } else { 1 },
            line(difference.paid_line),
            line(difference.listed_line),
            difference.fen,
            kind.explanation(),
        )?;
        for (index, other) in difference.others().enumerate() {
            write!(file, "{}{}", if index == 0 { " Also: " } else { ", " }, other.word())?;
        }
        if kind == Kind::NotListed && !difference.person.checks() {
            write!(file, " The number's check character is wrong.")?;
        }
        writeln!(file, "\",\"{}\"", kind.remedy())
    }

    fn finish(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush().and_then(|()| file.get_ref().sync_all()),
            None => Ok(()),
        }
    }
}

fn keyed(key: &hmac::Key, person: Number) -> String {
    let tag = hmac::sign(key, person.text().as_bytes());
    hex::encode(&tag.as_ref()[..16])
}

type Files = [(&'static str, (usize, u64, String)); 2];

fn cover_sum(tally: &Tally, cover: Cover) -> (u64, u64) {
    let of = Kind::ALL.iter().zip(tally.kinds).filter(|(kind, _)| kind.cover() == cover);
    of.fold((0, 0), |(count, fen), (_, (more, much))| (count + more, fen + much))
}

fn as_table(tally: &Tally, files: &Files, took: Duration) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    _ = writeln!(out, "{:<7} {:<20} {:>9} {:>14}", "cover", "kind", "count", "fen (分)");
    let counted = Kind::ALL.iter().zip(tally.kinds);
    for (kind, (count, fen)) in counted {
        _ = writeln!(out, "{:<7} {:<20} {count:>9} {fen:>14}", kind.cover().word(), kind.word());
    }
    for (cover, name) in [(Cover::Wrong, "错保"), (Cover::Missed, "漏保"), (Cover::Ask, "待核")]
    {
        let (count, fen) = cover_sum(tally, cover);
        _ = writeln!(out, "{:<7} {name:<18} {count:>9} {fen:>14}", cover.word());
    }
    _ = writeln!(out, "{:<28} {:>9}", "payments that agree", tally.agreed);
    for (list, (rows, bad, digest)) in files {
        _ = writeln!(out, "{list}: {rows} rows read, {bad} unreadable, SM3 {digest}");
    }
    _ = writeln!(out, "{:.1} s", took.as_secs_f64());
    out
}

fn as_json(terms: &Terms, tally: &Tally, files: &Files, took: Duration) -> serde_json::Value {
    let kinds: Vec<_> = Kind::ALL
        .iter()
        .zip(tally.kinds)
        .map(|(kind, (count, fen))| {
            json!({
                "kind": kind.word(), "cover": kind.cover().word(), "count": count, "fen": fen,
            })
        })
        .collect();
    let sum = |cover| {
        let (count, fen) = cover_sum(tally, cover);
        json!({ "count": count, "fen": fen })
    };
    let mut out = json!({
        "month": terms.month.to_string(),
        "province": format!("{:02}", terms.province),
        "wrong": sum(Cover::Wrong),
        "missed": sum(Cover::Missed),
        "ask": sum(Cover::Ask),
        "agreed": tally.agreed,
        "kinds": kinds,
        "digestAlgorithm": "SM3",
        "seconds": took.as_secs_f64(),
    });
    for (list, (rows, bad, digest)) in files {
        out[*list] = json!({ "rows": rows, "unreadable": bad, "digest": digest });
    }
    out
}
