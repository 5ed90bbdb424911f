//! The only way in. Takes an application or an event once, or says why not: idempotency, rules
//! of form, rules of the business, route, one commit. When a call returns `Ok`, the change, its
//! deliveries and its audit leaf are on disk together. Depends on translate, business and store;
//! never on who delivers.

mod change;
mod duplicate;
mod eligibility;
mod idempotency;
mod native;
mod reading;
mod questions;
mod routing;
mod watch;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prost::Message as _;
use uuid::Uuid;

pub use crate::intake::{change::Change, native::NativeAnswer, questions::Questions};
use crate::{
    audit::{Entry, Kind},
    auth::Caller,
    business::{
        self,
        rules::{Days, Finding, Rulebook, Stage},
    },
    config::{self, Party},
    failpoint::{self, Step},
    intake::{
        duplicate::Duplicate,
        eligibility::{intake_days, refusals},
        idempotency::InUse,
        routing::{Place, Routes},
    },
    model::{
        calendar::Calendar,
        clock,
        fault::Fault,
        pb,
        problem::{Problem, Reason, Violation},
        shape::Shapes,
        trace::TraceContext,
    },
    store::{
        Store, StoreError,
        rows::{Accepted, Header, IdempotencyKey, NewApplication, Recalled},
        turns::{Reach, Turns},
    },
    telemetry,
    translate::{SealKey, Translator},
    verify::Verifier,
};

/// The way in; cheap to share.
pub struct Intake {
    store: Arc<dyn Store>,
    shapes: Arc<Shapes>,
    translator: Arc<Translator>,
    routes: Routes,
    parties: BTreeMap<String, Party>,
    calendar: Arc<Calendar>,
    rulebook: Arc<Rulebook>,
    authorities: config::routes::Routes,
    verifier: Option<Arc<Verifier>>,
    seals: BTreeMap<String, SealKey>,
    in_use: InUse,
    turns: Arc<Turns>,
}

/// What the way in is made of.
pub struct Means {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Rules of form.
    pub shapes: Arc<Shapes>,
    /// The parties' formats.
    pub translator: Arc<Translator>,
    /// The parties, by code.
    pub parties: BTreeMap<String, Party>,
    /// Working days.
    pub calendar: Arc<Calendar>,
    /// Rules of eligibility.
    pub rulebook: Arc<Rulebook>,
    /// Who decides what where.
    pub authorities: config::routes::Routes,
    /// Who asks the national hub; without one, what it would be asked stays open.
    pub verifier: Option<Arc<Verifier>>,
}

/// A taken application or change.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The application as it stands.
    pub application: Box<pb::Application>,
    /// Whether this is the stored answer to an earlier call with the same key.
    pub replayed: bool,
}

impl Intake {
    /// The way in, by these means.
    ///
    /// # Errors
    /// A party's seal key cannot be read.
    pub fn new(means: Means) -> Result<Self, Fault> {
        let Means { store, shapes, translator, parties, calendar, rulebook, authorities, verifier } =
            means;
        let routes = Routes::new(&parties);
        let turns = Arc::new(Turns::new(parties.keys().map(String::as_str)));
        let mut seals = BTreeMap::new();
        for (code, party) in &parties {
            if let Some(key) = party.seal_key()? {
                seals.insert(code.clone(), SealKey::new(&key));
            }
        }
        Ok(Self {
            store,
            shapes,
            translator,
            routes,
            parties,
            calendar,
            rulebook,
            authorities,
            verifier,
            seals,
            in_use: InUse::default(),
            turns,
        })
    }

    /// Takes a new application under the caller's idempotency key.
    ///
    /// # Errors
    /// Everything that is wrong with it, all at once; see `docs/errors.md`.
    pub async fn submit(
        &self,
        caller: &Caller,
        key: &str,
        application: Box<pb::Application>,
        trace: TraceContext,
    ) -> Result<Answer, Problem> {
        let operation = ("SubmitApplication", key);
        let taken = self.take_application(caller, operation, application, trace).await?;
        Ok(self.answered(caller, taken).await)
    }

    async fn answered(&self, caller: &Caller, mut answer: Answer) -> Answer {
        self.disclose(caller, &mut answer.application).await;
        answer
    }

    /// Everything that is wrong with an application, as [`Intake::submit`] would find it. Stores
    /// nothing.
    pub fn validate(&self, caller: &Caller, application: &pb::Application) -> Vec<Violation> {
        let content = application.encode_to_vec();
        self.faults(caller, application, (&content, intake_days(application))).0
    }

    async fn take_application(
        &self,
        caller: &Caller,
        (operation, key): (&str, &str),
        mut application: Box<pb::Application>,
        trace: TraceContext,
    ) -> Result<Answer, Problem> {
        scrub(&mut application);
        let content = application.encode_to_vec();
        let key = idempotency::key(caller.party(), operation, key, &content);
        let _turn = self.in_use.turn(&key).await;
        if let Some(answer) = self.recall(&key).await? {
            return Ok(answer);
        }
        let days = intake_days(&application);
        let (mut violations, found) = self.faults(caller, &application, (&content, days));
        let divisions = self.shapes.divisions();
        let place = routing::place(&self.authorities, divisions, &application, days.day());
        let place = place.map_err(|violation| violations.push(violation)).ok();
        if violations.is_empty() {
            let so_far = (found, &trace);
            let found = self.hub_finds(Stage::Intake, &application, &content, days, so_far).await;
            violations.extend(refusals(&found));
            application.checks = found.iter().map(Finding::check).collect();
        }
        let Some(place) = place.filter(|_| violations.is_empty()) else {
            return Err(self.refuse(caller, operation, Problem::violations(violations)).await);
        };
        application.checks.extend(place.question.clone());
        let mut span = telemetry::span("intake.accept", telemetry::Kind::Internal, &trace);
        let claims = self.claims(caller, &application);
        let benefits = claims.iter().map(|claim| self.store.digest(claim)).collect();
        let place = (place, benefits);
        let new = self.prepare(caller, application, (content, place), key, span.context());
        span.set("application.id", new.application.id.clone());
        span.set("application.business", new.application.business().as_str_name());
        let business = new.application.business();
        let taken = failpoint::at(Step::Accept, StoreError::Unavailable, self.store.accept(new));
        match taken.await.map_err(told)? {
            Accepted::New(application) => {
                telemetry::count_taken(caller.party(), business.as_str_name());
                late_on_arrival(&application);
                Ok(Answer { application, replayed: false })
            }
            Accepted::Replayed(first) => Ok(Answer { application: first, replayed: true }),
            Accepted::KeyReused => Err(self.refuse(caller, operation, key_reused()).await),
            Accepted::Duplicate { first, paid, held } => {
                let found =
                    Duplicate { business, first, paid, benefits: self.told_apart(&claims, &held) };
                Err(self.duplicate(caller, operation, found).await)
            }
        }
    }

    fn prepare(
        &self,
        caller: &Caller,
        mut application: Box<pb::Application>,
        (content, (place, benefits)): (Vec<u8>, (Place, Vec<[u8; 16]>)),
        key: IdempotencyKey,
        trace: TraceContext,
    ) -> NewApplication {
        let (id, now) = (Uuid::now_v7(), clock::now_micros());
        let handler = self.routes.handler(caller.party(), &application).unwrap_or_default();
        application.id = id.to_string();
        caller.party().clone_into(&mut application.submitting_party);
        application.home_division_name = place.name;
        application.handling_authority = Some(place.authority);
        handler.clone_into(&mut application.handling_party);
        application.set_state(business::first_state(&application));
        application.deadlines = business::clock::begin(
            business::limits(application.business()),
            &application,
            now,
            &self.calendar,
        );
        NewApplication {
            id,
            key,
            content,
            benefits,
            likeness: self.likeness(&application),
            system: caller.system().to_owned(),
            trace,
            now,
            application,
        }
    }

    fn faults(
        &self,
        caller: &Caller,
        application: &pb::Application,
        (content, days): (&[u8], Days),
    ) -> (Vec<Violation>, Vec<Finding>) {
        let mut violations = self.shapes.check("Application", content);
        violations.extend(business::check(application));
        let found = self.rules_find(Stage::Intake, application, content, days);
        violations.extend(refusals(&found));
        let now = clock::now_micros();
        let times = [
            ("acceptTime", &application.accept_time),
            ("completeTime", &application.complete_time),
        ];
        for (field, time) in times {
            if time.as_ref().is_some_and(|time| !clock::is_plausible(time, now)) {
                let text = "must be a time from 2000 on and not in the future";
                violations.push(Violation::form(field, text));
            }
        }
        let entry = self.parties.get(caller.party()).map(|party| &party.entry);
        let code = application.business().code();
        if application.business() != pb::Business::Unspecified
            && !entry.is_some_and(|entry| entry.businesses.contains(&code))
        {
            let text = "is not among the businesses that your party takes part in";
            violations.push(Violation::form("business", text));
        }
        if violations.is_empty()
            && let Err(violation) = self.routes.check(caller.party(), application)
        {
            violations.push(violation);
        }
        (violations, found)
    }

    /// The application's header, if the caller's party submitted or handles it.
    async fn own(&self, caller: &Caller, id: &str) -> Result<(Uuid, Header), Problem> {
        let id = Uuid::try_parse(id).map_err(|_| not_found())?;
        let header = self.read(caller, Reach::Row, self.store.header(id)).await?;
        let party = caller.party();
        let own = header.filter(|header| header.submitter == party || header.handler == party);
        own.map(|header| (id, header)).ok_or_else(not_found)
    }

    /// Reads from the store when it is the turn of the caller's party.
    async fn read<T>(
        &self,
        caller: &Caller,
        reach: Reach,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        self.turns.read(caller.party(), reach, read).await.map_err(told)
    }

    /// Waits for no turn: it is the beginning of a write, and those have turns of their own.
    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Answer>, Problem> {
        match self.store.recall(key).await.map_err(told)? {
            None => Ok(None),
            Some(Recalled::KeyReused) => Err(key_reused()),
            Some(Recalled::Answer(first)) => {
                Ok(Some(Answer { application: first, replayed: true }))
            }
        }
    }

    /// Writes the refusal to the audit log and hands the problem back. A refusal that cannot be
    /// logged is not told as one: the caller is asked to come again.
    pub async fn refuse(&self, caller: &Caller, operation: &str, problem: Problem) -> Problem {
        let entry = Entry {
            kind: Kind::Refusal,
            time: clock::now_micros(),
            party: caller.party().to_owned(),
            system: caller.system().to_owned(),
            application: String::new(),
            sequence: 0,
            what: problem.reason.code().to_owned(),
            state: operation.to_owned(),
            content: String::new(),
        };
        match self.store.record(entry).await {
            Ok(()) => problem,
            Err(error) => told(error),
        }
    }
}

/// What was late already when it came is no event (docs/decisions/0007), but operations see it.
fn late_on_arrival(application: &pb::Application) {
    let late = |deadline: &&pb::Deadline| deadline.state() == pb::DeadlineState::Passed;
    for deadline in application.deadlines.iter().filter(late) {
        let limit = deadline.kind().as_str_name();
        telemetry::count_limit(&application.business().code(), limit, "LATE_ON_ARRIVAL");
        tracing::info!(application.id = application.id, limit, "was late when it came");
    }
}

/// Clears what only the gateway sets.
fn scrub(application: &mut pb::Application) {
    application.id.clear();
    application.state = 0;
    application.version = 0;
    application.submitting_party.clear();
    application.handling_party.clear();
    application.home_division_name.clear();
    application.decision = None;
    application.create_time = None;
    application.update_time = None;
    application.deadlines.clear();
    application.checks.clear();
    application.handling_authority = None;
}

/// A store error as the caller is told it.
fn told(error: StoreError) -> Problem {
    let (reason, text, wait) = match error {
        StoreError::Overloaded => {
            (Reason::Overloaded, "the gateway sheds new work; send it again later", 1)
        }
        StoreError::Unavailable(_) => {
            let text = "the store cannot be reached; send it again with the same key";
            (Reason::Unavailable, text, 2)
        }
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "the store returned what it cannot have stored");
            (Reason::Internal, "the gateway failed; operations have been told", 60)
        }
    };
    Problem::new(reason, text).retry_after(Duration::from_secs(wait))
}

fn key_reused() -> Problem {
    let text = "this idempotency key was used with other content; use a new key for new content";
    Problem::new(Reason::IdempotencyKeyReused, text)
}

fn not_found() -> Problem {
    Problem::new(Reason::NotFound, "no such application of your party; check the id")
}
