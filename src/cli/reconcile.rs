//! `tongban reconcile`: a day of messages between the gateway and its parties, held against the
//! parties' own books (对账). Works on the store beside a running gateway, which notices by itself
//! what is to be sent again. `docs/reconciliation.md`.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, sync::Arc};

use jiff::civil::Date;
use serde_json::json;
use uuid::Uuid;

use crate::{
    cli::{Database, faulty, say, serve},
    config::Party,
    dispatch::{Books, Correspondent},
    model::clock,
    reconcile::{Discrepancy, Fate, digest, messages, pending, submissions},
    store::{self, Store, rows::Exchanged, rows::Progress},
    tls,
};

/// Arguments of `tongban reconcile`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only this party; otherwise every party with a `reconcile_path`.
    #[arg(long, value_name = "CODE")]
    party: Option<String>,
    /// The day in China, e.g. 2026-11-23; otherwise yesterday.
    #[arg(long)]
    day: Option<Date>,
    /// Make due again what the party has lost and what is parked.
    #[arg(long)]
    repair: bool,
    /// The configuration.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
    #[command(flatten)]
    database: Database,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was found with one party.
struct Report {
    party: String,
    /// Delivered by us, and by their books; submitted by them.
    counts: [u64; 4],
    agree: bool,
    algorithm: String,
    found: Vec<Discrepancy>,
    repaired: usize,
}

impl Report {
    /// What neither mends itself nor was made due again.
    fn open(&self, repair: bool) -> usize {
        let settled =
            |one: &&Discrepancy| one.fate != Fate::Waiting && !(repair && one.fate.repairable());
        self.found.iter().filter(settled).count()
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut checked = serve::checked(&arguments.config).map_err(|faults| faulty(&faults))?;
    arguments.database.lay_over(&mut checked.config.store)?;
    let config = &checked.config;
    let today = clock::china_date(clock::now_micros());
    let day = match arguments.day {
        Some(day) => day,
        None => today.yesterday()?,
    };
    anyhow::ensure!(day <= today, "{day} has not come yet");
    tls::install_provider();
    let translator = Arc::new(checked.translator);
    let mut parties = Vec::new();
    for party in config.parties.values() {
        if arguments.party.as_ref().is_some_and(|code| *code != party.entry.code) {
            continue;
        }
        let asked = Correspondent::new(config, party, &translator).map_err(|f| faulty(&f))?;
        parties.extend(asked.map(|correspondent| (party, correspondent)));
    }
    anyhow::ensure!(
        !parties.is_empty(),
        "no such party with delivery.reconcile_path in its party.toml; set the path first"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = store::open_beside(&config.store).await.map_err(anyhow::Error::msg)?;
        let mut reports = Vec::new();
        let mut silent = Vec::new();
        for (party, correspondent) in &parties {
            let day = Day { store: &*store, party, correspondent, day };
            match day.reconcile(arguments.repair).await {
                Ok(report) => reports.push(report),
                Err(error) => silent.push(format!("{}: {error:#}", party.entry.code)),
            }
        }
        if arguments.json {
            say(&format!("{}\n", as_json(day, &reports)))?;
        } else {
            say(&as_table(day, &reports))?;
        }
        anyhow::ensure!(silent.is_empty(), "not reconciled: {}", silent.join("; "));
        let open: usize = reports.iter().map(|report| report.open(arguments.repair)).sum();
        let how = if arguments.repair { "need a human" } else { "are open; see --repair" };
        anyhow::ensure!(open == 0, "{open} differences {how}");
        Ok(())
    })
}

/// One day with one party.
struct Day<'a> {
    store: &'a dyn Store,
    party: &'a Party,
    correspondent: &'a Correspondent,
    day: Date,
}

impl Day<'_> {
    async fn reconcile(&self, repair: bool) -> anyhow::Result<Report> {
        let code = self.party.entry.code.as_str();
        let (from, until) = (clock::midnight(self.day), clock::midnight(self.day.tomorrow()?));
        let theirs = self.books(self.day, false).await?;
        let ours = self.store.exchanged(code, from, until).await?;
        let submitted = self.store.submitted(code, from, until).await?;
        let submitted: Vec<String> = submitted.iter().map(Uuid::to_string).collect();

        let delivered: Vec<&str> = ours
            .iter()
            .filter(|row| row.progress == Progress::Delivered)
            .map(|row| row.message_number.as_str())
            .collect();
        let algorithm = theirs.digest_algorithm.clone();
        let same = |numbers: &[&str], count: u64, theirs: &str| {
            let ours = digest(&algorithm, numbers.iter().copied());
            let ours = ours.ok_or_else(|| {
                anyhow::anyhow!("the party's digest algorithm is not known; SM3 and SHA-256 are")
            });
            ours.map(|ours| numbers.len() as u64 == count && ours.eq_ignore_ascii_case(theirs))
        };
        let ids: Vec<&str> = submitted.iter().map(String::as_str).collect();
        let (said, submissions_agree) = match &theirs.submitted {
            Some(book) => (book.count, same(&ids, book.count, &book.digest)?),
            None => (0, true),
        };
        let messages_agree = same(&delivered, theirs.count, &theirs.digest)?;
        let mut found = pending(&ours);
        if !(messages_agree && submissions_agree) {
            found.extend(self.differences(&ours, &submitted).await?);
        }
        let mut report = Report {
            party: code.to_owned(),
            counts: [delivered.len() as u64, theirs.count, submitted.len() as u64, said],
            agree: messages_agree && submissions_agree,
            algorithm,
            found,
            repaired: 0,
        };
        if repair {
            report.repaired = self.repair(&report.found).await?;
        }
        Ok(report)
    }

    async fn books(&self, day: Date, list: bool) -> anyhow::Result<Books> {
        self.correspondent.books(day, list).await.map_err(anyhow::Error::msg)
    }

    /// Both lists, one by one. A message of ours is lost only when the party does not know it on
    /// any day; one of theirs is strange only when we never sent it.
    async fn differences(
        &self,
        ours: &[Exchanged],
        submitted: &[String],
    ) -> anyhow::Result<Vec<Discrepancy>> {
        let code = self.party.entry.code.as_str();
        let theirs = self.books(self.day, true).await?;
        let here: BTreeSet<&str> = ours.iter().map(|row| row.message_number.as_str()).collect();
        let numbers = theirs.messages.iter().map(|message| &message.message_number);
        let strange: BTreeSet<String> =
            numbers.filter(|number| !here.contains(number.as_str())).cloned().collect();
        let ever =
            if strange.is_empty() { Vec::new() } else { self.store.sent(code, strange).await? };
        let mut found = Vec::new();
        for one in messages(ours, &theirs.messages, &ever) {
            let business = ours.iter().find(|row| Some(row.delivery) == one.delivery);
            // It may have come on another day: the status question knows no days.
            if let (Fate::NotKnown, Some(row)) = (one.fate, business)
                && self.correspondent.holds(&row.message_number, row.business).await == Some(true)
            {
                continue;
            }
            found.push(one);
        }
        if let Some(book) = &theirs.submitted {
            found.extend(self.submitted(submitted, &book.applications).await?);
        }
        Ok(found)
    }

    async fn submitted(
        &self,
        ours: &[String],
        theirs: &[String],
    ) -> anyhow::Result<Vec<Discrepancy>> {
        let held: BTreeSet<&String> = ours.iter().collect();
        let said: BTreeSet<&String> = theirs.iter().collect();
        let mut known = BTreeSet::new();
        for id in said.difference(&held) {
            let Ok(uuid) = id.parse::<Uuid>() else { continue };
            let header = self.store.header(uuid).await?;
            if header.is_some_and(|header| header.submitter == self.party.entry.code) {
                known.insert((*id).clone());
            }
        }
        let mut around = BTreeSet::new();
        if held.difference(&said).next().is_some() {
            let today = clock::china_date(clock::now_micros());
            for day in [self.day.yesterday()?, self.day.tomorrow()?] {
                if day <= today
                    && let Some(book) = self.books(day, true).await?.submitted
                {
                    around.extend(book.applications);
                }
            }
        }
        Ok(submissions(ours, theirs, &known, &around))
    }

    async fn repair(&self, found: &[Discrepancy]) -> anyhow::Result<usize> {
        let of = |fate: Fate| {
            let of = found.iter().filter(move |one| one.fate == fate);
            of.filter_map(|one| one.delivery).collect::<Vec<_>>()
        };
        let resent = self.store.resend(of(Fate::NotKnown)).await?;
        Ok(resent + self.store.revive(of(Fate::Parked)).await?)
    }
}

fn as_table(day: Date, reports: &[Report]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for report in reports {
        let [delivered, held, taken, said] = report.counts;
        let verdict = if report.agree { "agree" } else { "differ" };
        _ = writeln!(
            out,
            "{} {day}: delivered {delivered}, theirs {held}; submitted {taken}, theirs {said}; \
             {} digests {verdict}",
            report.party, report.algorithm
        );
        for one in &report.found {
            let number = if one.message_number.is_empty() { "-" } else { &one.message_number };
            _ = writeln!(
                out,
                "  {:<17} {number:<32} {:<36} {}\n  {:<17} {} {}",
                one.fate.word(),
                one.application,
                one.note,
                "",
                one.fate.explanation(),
                one.fate.remedy()
            );
        }
        if report.repaired > 0 {
            _ = writeln!(out, "  {} made due again", report.repaired);
        }
    }
    out
}

fn as_json(day: Date, reports: &[Report]) -> serde_json::Value {
    let difference = |one: &Discrepancy| {
        json!({
            "kind": one.fate.word(),
            "messageNumber": one.message_number,
            "applicationId": one.application,
            "delivery": one.delivery,
            "note": one.note,
            "explanation": one.fate.explanation(),
            "remedy": one.fate.remedy(),
        })
    };
    let party = |report: &Report| {
        let [delivered, held, taken, said] = report.counts;
        json!({
            "party": report.party,
            "agree": report.agree,
            "digestAlgorithm": report.algorithm,
            "delivered": { "ours": delivered, "theirs": held },
            "submitted": { "ours": taken, "theirs": said },
            "differences": report.found.iter().map(difference).collect::<Vec<_>>(),
            "repaired": report.repaired,
        })
    };
    json!({ "day": day.to_string(), "parties": reports.iter().map(party).collect::<Vec<_>>() })
}
