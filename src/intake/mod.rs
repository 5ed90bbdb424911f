//! The only way in. Takes an application or an event once, or says why not: idempotency, rules
//! of form, rules of the business, route, one commit. When a call returns `Ok`, the change, its
//! deliveries and its audit leaf are on disk together. Depends on translate, business and store;
//! never on who delivers.

mod change;
mod idempotency;
mod native;
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
    business,
    config::Party,
    intake::routing::Routes,
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
        rows::{Accepted, Filter, Header, IdempotencyKey, NewApplication, Recalled},
    },
    telemetry,
    translate::{SealKey, Translator},
};

/// The way in; cheap to share.
pub struct Intake {
    store: Arc<dyn Store>,
    shapes: Arc<Shapes>,
    translator: Arc<Translator>,
    routes: Routes,
    parties: BTreeMap<String, Party>,
    calendar: Arc<Calendar>,
    seals: BTreeMap<String, SealKey>,
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
    /// The way in to `store` for `parties`.
    ///
    /// # Errors
    /// A party's seal key cannot be read.
    pub fn new(
        store: Arc<dyn Store>,
        shapes: Arc<Shapes>,
        translator: Arc<Translator>,
        parties: BTreeMap<String, Party>,
        calendar: Arc<Calendar>,
    ) -> Result<Self, Fault> {
        let routes = Routes::new(&parties);
        let mut seals = BTreeMap::new();
        for (code, party) in &parties {
            if let Some(key) = party.seal_key()? {
                seals.insert(code.clone(), SealKey::new(&key));
            }
        }
        Ok(Self { store, shapes, translator, routes, parties, calendar, seals })
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
        self.take_application(caller, ("SubmitApplication", key), application, trace).await
    }

    /// One application that the caller's party submitted or handles.
    ///
    /// # Errors
    /// `NOT_FOUND` also for an application of others.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<pb::Application, Problem> {
        let (id, _) = self.own(caller, id).await?;
        let application = self.store.application(id).await.map_err(told)?;
        application.map(|application| self.as_of_today(application)).ok_or_else(not_found)
    }

    /// A page of the applications that the caller's party submitted or handles.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a page size or token that is none.
    pub async fn list(
        &self,
        caller: &Caller,
        request: pb::ListApplicationsRequest,
    ) -> Result<pb::ListApplicationsResponse, Problem> {
        let mut violations = self.shapes.check("ListApplicationsRequest", &request.encode_to_vec());
        let limit = match usize::try_from(request.page_size) {
            Ok(0) => 50,
            Ok(size @ 1..=200) => size,
            _ => {
                violations.push(Violation::form("pageSize", "must be 1 to 200, or 0 for 50"));
                0
            }
        };
        let before = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        let before = before.map(str::parse::<i64>).transpose().unwrap_or_else(|_| {
            let text = "is not a token of a page before; begin without one";
            violations.push(Violation::form("pageToken", text));
            None
        });
        if !violations.is_empty() {
            return Err(Problem::violations(violations));
        }
        let filter = Filter {
            party: caller.party().to_owned(),
            business: Some(request.business()).filter(|b| *b != pb::Business::Unspecified),
            state: Some(request.state()).filter(|state| *state != pb::State::Unspecified),
            home_division: request.home_division,
            limit,
            before,
        };
        let (applications, next) = self.store.list(filter).await.map_err(told)?;
        let applications = applications.into_iter().map(|one| self.as_of_today(one)).collect();
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(pb::ListApplicationsResponse { applications, next_page_token })
    }

    /// What happened to one application, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND` also for an application of others.
    pub async fn events(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Vec<pb::ApplicationEvent>, Problem> {
        let (id, _) = self.own(caller, id).await?;
        self.store.events(id).await.map_err(told)
    }

    /// The application with the days its limits have left today.
    fn as_of_today(&self, mut application: pb::Application) -> pb::Application {
        let (now, calendar) = (clock::now_micros(), &self.calendar);
        application.deadlines = business::clock::shown(&application.deadlines, now, calendar);
        application
    }

    /// Everything that is wrong with an application, as [`Intake::submit`] would find it. Stores
    /// nothing.
    pub fn validate(&self, caller: &Caller, application: &pb::Application) -> Vec<Violation> {
        self.faults(caller, application, &application.encode_to_vec())
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
        if let Some(answer) = self.recall(&key).await? {
            return Ok(answer);
        }
        let violations = self.faults(caller, &application, &content);
        if !violations.is_empty() {
            return Err(self.refuse(caller, operation, Problem::violations(violations)).await);
        }
        let mut span = telemetry::span("intake.accept", telemetry::Kind::Internal, &trace);
        let new = self.prepare(caller, application, content, key, span.context());
        span.set("application.id", new.application.id.clone());
        span.set("application.business", new.application.business().as_str_name());
        match self.store.accept(new).await.map_err(told)? {
            Accepted::New(application) => {
                let business = application.business().as_str_name();
                telemetry::count_taken(caller.party(), business);
                Ok(Answer { application, replayed: false })
            }
            Accepted::Replayed(first) => Ok(Answer { application: first, replayed: true }),
            Accepted::KeyReused => Err(self.refuse(caller, operation, key_reused()).await),
            Accepted::Duplicate { first, paid } => {
                Err(self.duplicate(caller, operation, (first, paid)).await)
            }
        }
    }

    fn prepare(
        &self,
        caller: &Caller,
        mut application: Box<pb::Application>,
        content: Vec<u8>,
        key: IdempotencyKey,
        trace: TraceContext,
    ) -> NewApplication {
        let (id, now) = (Uuid::now_v7(), clock::now_micros());
        let claims = business::claims(&application);
        let handler = self.routes.handler(&application).unwrap_or_default();
        application.id = id.to_string();
        caller.party().clone_into(&mut application.submitting_party);
        let county = self.shapes.divisions().county(&application.home_division);
        application.home_division_name = county.map(|c| c.1.name.clone()).unwrap_or_default();
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
            benefits: claims.iter().map(|claim| self.store.digest(claim)).collect(),
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
        content: &[u8],
    ) -> Vec<Violation> {
        let mut violations = self.shapes.check("Application", content);
        violations.extend(business::check(application));
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
        violations
    }

    /// The application's header, if the caller's party submitted or handles it.
    async fn own(&self, caller: &Caller, id: &str) -> Result<(Uuid, Header), Problem> {
        let id = Uuid::try_parse(id).map_err(|_| not_found())?;
        let header = self.store.header(id).await.map_err(told)?;
        let party = caller.party();
        let own = header.filter(|header| header.submitter == party || header.handler == party);
        own.map(|header| (id, header)).ok_or_else(not_found)
    }

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

    async fn duplicate(
        &self,
        caller: &Caller,
        operation: &str,
        (first, paid): (Uuid, bool),
    ) -> Problem {
        let text = match paid {
            true => {
                "the same person is being paid the same benefit; ask for a change or a transfer \
                 of it instead"
            }
            false => {
                "the same person has an open application for the same benefit; follow that one, \
                 or withdraw it first"
            }
        };
        let mut problem = Problem::new(Reason::DuplicateApplication, text);
        // The first one's id only to a party that may see it.
        let first = first.to_string();
        if self.own(caller, &first).await.is_ok() {
            problem = problem.with("applicationId", first);
        }
        self.refuse(caller, operation, problem).await
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
