//! Questions about people to the national hub (核验): marital status, benefits, disability
//! certificate, household. Who is asked and does not answer, or answers with an error, is never
//! taken for one that has nothing: the answer is then [`Silent`], with a time to ask again.
//!
//! `exchange` speaks the national data-sharing platform's call convention, `key` keeps its
//! handed-out keys, `answer` tells an answer from none; `registry` asks the old provincial marriage
//! web service, `repair` mends what that one writes; `marriage` says what the records of both mean,
//! `number` knows both forms of a number, `memory` is the brief cache.
//! Depends on model, config, telemetry, tls and breaker.

mod answer;
mod exchange;
mod key;
mod marriage;
mod memory;
mod read;
mod registry;
mod repair;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::{try_join, try_join_all};
use reqwest::Client;

use crate::{
    config::{Party, Tls},
    model::{fault::Fault, pb, resident_id, trace::TraceContext},
    telemetry, tls,
    verify::{
        exchange::{Exchange, Question},
        marriage::Record,
        memory::Memory,
        registry::Registry,
    },
};

/// Who is asked about. Holds personal data and so is not printed.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Name.
    pub name: &'a str,
    /// Citizen number of 18 or 15 digits, or a number as an old record has it.
    pub number: &'a str,
}

/// A library did not answer in time, or not in a way that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// When it is worth asking again.
    pub retry_after: Duration,
}

/// Which of a couple; old services ask for the man's and the woman's number apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Man,
    Woman,
}

/// Why no answer can be given. The note holds codes and words of ours, nothing personal.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    note: String,
    retry_after: Duration,
}

/// The note of a question that was not asked, because its service's breaker is open.
const RESTS: &str = "the breaker is open";

impl Failure {
    fn new(note: impl Into<String>, retry_after: Duration) -> Self {
        Self { note: note.into(), retry_after }
    }
}

/// What the libraries have of one person's marriages.
#[derive(Clone)]
struct Marriages {
    records: Vec<Record>,
    divorcing: bool,
    sources: Vec<String>,
}

/// Asks; cheap to share behind an `Arc`.
pub struct Verifier {
    hub: Option<Exchange>,
    registries: Vec<Registry>,
    marriages: Memory<Marriages>,
    benefits: Memory<Vec<pb::BenefitRecord>>,
    certificates: Memory<Option<pb::CertificateRecord>>,
    households: Memory<Option<pb::HouseholdRecord>>,
}

impl Verifier {
    /// Ready to ask the parties that have a `[verification]`; `None` when none has.
    ///
    /// # Errors
    /// A key or certificate that cannot be read or used.
    pub fn new(parties: &BTreeMap<String, Party>, tls: &Tls) -> Result<Option<Self>, Vec<Fault>> {
        let mut asked = parties.values().filter(|party| party.entry.verification.is_some());
        if asked.clone().next().is_none() {
            return Ok(None);
        }
        let client = client(tls)?;
        let (mut hub, mut registries, mut faults) = (None, Vec::new(), Vec::new());
        let (mut seconds, mut entries) = (3600, 0);
        for party in asked.by_ref() {
            let Some(settings) = &party.entry.verification else { continue };
            seconds = seconds.min(settings.cache_seconds);
            entries = entries.max(settings.cache_entries);
            if let Some(exchange) = &settings.exchange {
                match Exchange::new(&party.entry.code, settings, exchange, &client) {
                    Ok(exchange) => hub = Some(exchange),
                    Err(fault) => faults.push(fault),
                }
            }
            if let Some(registry) = &settings.registry {
                match Registry::new(&party.entry.code, settings, registry, &client) {
                    Ok(registry) => registries.push(registry),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let time = Duration::from_secs(seconds);
        Ok(Some(Self {
            hub,
            registries,
            marriages: Memory::new(time, entries),
            benefits: Memory::new(time, entries),
            certificates: Memory::new(time, entries),
            households: Memory::new(time, entries),
        }))
    }

    /// Marital status of one or both of a couple, from every marriage library together. Divisions
    /// and certificate numbers are whole: who tells them on decides what may be told.
    ///
    /// # Errors
    /// [`Silent`] when any library is.
    pub async fn marital(
        &self,
        man: Option<Subject<'_>>,
        woman: Option<Subject<'_>>,
        trace: &TraceContext,
    ) -> Result<pb::VerifyMaritalStatusResponse, Silent> {
        let one = async |subject: Option<Subject<'_>>, side| match subject {
            Some(subject) => self.marriages_of(subject, side, trace).await.map(Some),
            None => Ok(None),
        };
        let (his, hers) = try_join(one(man, Side::Man), one(woman, Side::Woman)).await?;
        let to_each_other = match (man, woman, &his, &hers) {
            (Some(man), Some(woman), Some(his), Some(hers)) => {
                marriage::to_each_other(man.number, &his.records, woman.number, &hers.records)
            }
            _ => false,
        };
        Ok(pb::VerifyMaritalStatusResponse {
            man: his.map(standing),
            woman: hers.map(standing),
            married_to_each_other: to_each_other,
        })
    }

    /// What the person draws or drew anywhere, the latest first.
    ///
    /// # Errors
    /// [`Silent`] when the hub is.
    pub async fn benefits(
        &self,
        person: Subject<'_>,
        trace: &TraceContext,
    ) -> Result<Vec<pb::BenefitRecord>, Silent> {
        let place = self.benefits.place(&[person.name, person.number]);
        if let Some(known) = self.benefits.recall(&place) {
            return Ok(known);
        }
        let rows = self.ask(Question::Benefits, person, &[], trace).await?;
        let records = rows.iter().map(read::benefit).collect::<Option<Vec<_>>>();
        let mut records = records.ok_or_else(|| unreadable("benefits"))?;
        records.sort_by(|a, b| b.last_paid_month.cmp(&a.last_paid_month));
        self.benefits.keep(place, records.clone());
        Ok(records)
    }

    /// The person's disability certificate; `certificate_number` may be empty.
    ///
    /// # Errors
    /// [`Silent`] when the hub is.
    pub async fn certificate(
        &self,
        person: Subject<'_>,
        certificate_number: &str,
        trace: &TraceContext,
    ) -> Result<Option<pb::CertificateRecord>, Silent> {
        let place = self.certificates.place(&[person.name, person.number, certificate_number]);
        if let Some(known) = self.certificates.recall(&place) {
            return Ok(known);
        }
        let fields = [("cert_no", certificate_number)];
        let rows = self.ask(Question::Certificate, person, &fields, trace).await?;
        let records = rows.iter().map(read::certificate).collect::<Option<Vec<_>>>();
        let records = records.ok_or_else(|| unreadable("certificate"))?;
        // Of a re-issued certificate the register may have the old one too.
        let record =
            records.into_iter().max_by(|a, b| (a.valid, &a.valid_to).cmp(&(b.valid, &b.valid_to)));
        self.certificates.keep(place, record.clone());
        Ok(record)
    }

    /// The person's household; `claimed` is the division it is said to be in.
    ///
    /// # Errors
    /// [`Silent`] when the hub is.
    pub async fn household(
        &self,
        person: Subject<'_>,
        claimed: &str,
        trace: &TraceContext,
    ) -> Result<Option<pb::HouseholdRecord>, Silent> {
        let place = self.households.place(&[person.name, person.number, claimed]);
        if let Some(known) = self.households.recall(&place) {
            return Ok(known);
        }
        let fields = [("huji_code", claimed)];
        let rows = self.ask(Question::Household, person, &fields, trace).await?;
        let record = match &rows[..] {
            [] => None,
            [row] => Some(read::household(row, claimed).ok_or_else(|| unreadable("household"))?),
            // Two households of one person: a person must look, and nothing is told meanwhile.
            _ => return Err(unreadable("household")),
        };
        self.households.keep(place, record.clone());
        Ok(record)
    }

    async fn marriages_of(
        &self,
        subject: Subject<'_>,
        side: Side,
        trace: &TraceContext,
    ) -> Result<Marriages, Silent> {
        let place = self.marriages.place(&[subject.name, subject.number]);
        if let Some(known) = self.marriages.recall(&place) {
            return Ok(known);
        }
        let hub = self.hub.as_ref().ok_or_else(|| silent("marriage", &not_connected()))?;
        // Old records stand under the 15-digit number, new ones under the other: both are asked.
        let forms = resident_id::forms(subject.number);
        let national = try_join_all(forms.iter().map(|form| async move {
            let person = Subject { name: subject.name, number: form };
            self.ask(Question::Marriage, person, &[], trace).await
        }));
        let divorces = try_join_all(forms.iter().map(|form| async move {
            let person = Subject { name: subject.name, number: form };
            self.ask(Question::Divorce, person, &[], trace).await
        }));
        let old = try_join_all(self.registries.iter().flat_map(|registry| {
            forms.iter().map(move |form| async move {
                let mut span = telemetry::span("verify.ask", telemetry::Kind::Client, trace);
                let until = Instant::now() + registry.deadline();
                let rows = registry.records(side, form, until, &span.context()).await;
                rows.map_err(|failure| {
                    span.fail(&failure.note);
                    silent("registry", &failure)
                })
            })
        }));
        let ((national, divorces), old) = try_join(try_join(national, divorces), old).await?;
        let mut records = old.into_iter().flatten().collect::<Vec<_>>();
        let read = national.iter().flatten().map(read::marriage).collect::<Option<Vec<_>>>();
        records.extend(read.ok_or_else(|| unreadable("marriage"))?);
        let open = divorces.iter().flatten().map(read::divorce_open).collect::<Option<Vec<_>>>();
        let open = open.ok_or_else(|| unreadable("divorce"))?;
        let mut sources = vec![hub.party().to_owned()];
        sources.extend(self.registries.iter().map(|registry| registry.party().to_owned()));
        let marriages = Marriages {
            records: marriage::merged(records),
            divorcing: open.into_iter().any(|open| open),
            sources,
        };
        self.marriages.keep(place, marriages.clone());
        Ok(marriages)
    }

    async fn ask(
        &self,
        question: Question,
        person: Subject<'_>,
        more: &[(&str, &str)],
        trace: &TraceContext,
    ) -> Result<Vec<serde_json::Value>, Silent> {
        let name = question.name();
        let hub = self.hub.as_ref().ok_or_else(|| silent(name, &not_connected()))?;
        let mut span = telemetry::span("verify.ask", telemetry::Kind::Client, trace);
        span.set("verify.question", name);
        let until = Instant::now() + hub.deadline();
        let rows = hub.records(question, person, more, until, &span.context()).await;
        rows.map_err(|failure| {
            span.fail(&failure.note);
            silent(name, &failure)
        })
    }
}

fn standing(marriages: Marriages) -> pb::MaritalStanding {
    let status = marriage::status(&marriages.records);
    let last = marriages.records.iter().max_by_key(|record| record.date);
    pb::MaritalStanding {
        status: status.into(),
        last_record: last.map(|record| pb::MarriageRecord {
            operation: record.operation.clone(),
            date: record.date.map(|date| date.to_string()).unwrap_or_default(),
            registry_division: record.registry.chars().take(6).collect(),
            certificate_number: record.certificate.clone(),
        }),
        divorce_in_progress: marriages.divorcing,
        records: i32::try_from(marriages.records.len()).unwrap_or(i32::MAX),
        sources: marriages.sources,
    }
}

/// Tells operations why, and the asker only that there is no answer.
fn silent(question: &str, failure: &Failure) -> Silent {
    // That a service rests was told when its breaker opened; under load nearly all are such.
    if failure.note == RESTS {
        tracing::debug!(question, "a question was not asked: the service rests");
    } else {
        tracing::warn!(question, note = failure.note, "a question was not answered");
    }
    Silent { retry_after: failure.retry_after.max(Duration::from_secs(1)) }
}

fn unreadable(question: &str) -> Silent {
    silent(question, &Failure::new("a record was not understood", UNREADABLE))
}

fn not_connected() -> Failure {
    Failure::new("no party has a [verification.exchange] in its party.toml", UNREADABLE)
}

/// What only people can mend is not worth asking again soon.
const UNREADABLE: Duration = Duration::from_secs(600);

fn client(settings: &Tls) -> Result<Client, Vec<Fault>> {
    let tls = tls::client(settings)?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .pool_idle_timeout(Duration::from_secs(60))
        // A connection whose other end has gone without a word would fail every question.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .http2_keep_alive_timeout(Duration::from_secs(2))
        .http2_keep_alive_while_idle(true)
        .build()
        .map_err(|error| vec![Fault::new(&settings.certificate, 0, format!("no client: {error}"))])
}
