//! One application as every store keeps it: its row, what is sealed in it, and a new one made
//! ready to be stored. Depends on model, audit and business; knows no SQL.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use prost::Message as _;
use uuid::Uuid;

use crate::{
    audit::Leaf,
    business,
    model::{
        clock,
        pb::{self, Business, EventType, State},
        trace::TraceContext,
    },
    store::{
        StoreError, Terms,
        advance::{self, By, Open, Standing},
        rows::{DeliveryKind, NewApplication},
        vault::Vault,
    },
};

/// A page ends once it holds so many bytes: papers inside applications make them long.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// One row of `applications`.
#[derive(Clone)]
pub(super) struct ApplicationRow {
    pub(super) seq: i64,
    pub(super) id: [u8; 16],
    pub(super) business: Business,
    pub(super) state: State,
    pub(super) version: i64,
    pub(super) submitter: String,
    pub(super) handler: String,
    pub(super) home_name: String,
    pub(super) benefits: Vec<u8>,
    pub(super) open: Open,
    /// When a clock next has something to say.
    pub(super) wake: Option<i64>,
    pub(super) salt: [u8; 16],
    pub(super) trace: TraceContext,
    pub(super) created: i64,
    pub(super) updated: i64,
    /// Sealed: as submitted and first answered.
    pub(super) body: Vec<u8>,
    /// Sealed: as changed since.
    pub(super) revised: Option<Vec<u8>>,
    /// Sealed: what stands beside the content.
    pub(super) kept: Option<Vec<u8>>,
}

impl ApplicationRow {
    /// About how much it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + self.revised.as_ref().map_or(0, Vec::len)
    }

    /// The content as it stands, without the header.
    pub(super) fn content(&self, vault: &Vault) -> Result<pb::Application, StoreError> {
        let mut content: pb::Application = match &self.revised {
            Some(revised) => decode(&vault.unseal(&self.id, "revised", revised)?)?,
            None => decode(&vault.unseal(&self.id, "body", &self.body)?)?,
        };
        if let Some(kept) = &self.kept {
            let kept: pb::Application = decode(&vault.unseal(&self.id, "kept", kept)?)?;
            content.deadlines = kept.deadlines;
            content.checks = kept.checks;
            content.handling_authority = kept.handling_authority;
        }
        Ok(content)
    }

    /// The application as it stands.
    pub(super) fn application(&self, vault: &Vault) -> Result<pb::Application, StoreError> {
        Ok(self.with_header(self.content(vault)?, self.state, self.version, self.updated))
    }

    /// The application as it was first answered.
    fn as_received(&self, vault: &Vault) -> Result<pb::Application, StoreError> {
        let content: pb::Application = decode(&vault.unseal(&self.id, "body", &self.body)?)?;
        let first = business::first_state(&content);
        Ok(self.with_header(content, first, 1, self.created))
    }

    /// What a key was first answered with: `answer` is sealed, none for the application itself.
    pub(super) fn answer(
        &self,
        answer: Option<&[u8]>,
        vault: &Vault,
    ) -> Result<pb::Application, StoreError> {
        match answer {
            Some(answer) => decode(&vault.unseal(&self.id, "answer", answer)?),
            None => self.as_received(vault),
        }
    }

    /// The content under its header.
    pub(super) fn with_header(
        &self,
        mut content: pb::Application,
        state: State,
        version: i64,
        updated: i64,
    ) -> pb::Application {
        content.id = Uuid::from_bytes(self.id).to_string();
        content.set_state(state);
        content.version = version;
        content.submitting_party.clone_from(&self.submitter);
        content.handling_party.clone_from(&self.handler);
        content.home_division_name.clone_from(&self.home_name);
        content.create_time = Some(clock::to_proto(self.created));
        content.update_time = Some(clock::to_proto(updated));
        content
    }

    /// What a step is judged by.
    pub(super) const fn standing(&self) -> Standing {
        Standing { business: self.business, state: self.state, version: self.version }
    }
}

/// A new application, encoded and encrypted in the caller's task.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) new: NewApplication,
    pub(super) body: Vec<u8>,
    pub(super) salt: [u8; 16],
    pub(super) leaf: Leaf,
}

impl Prepared {
    pub(super) fn new(mut new: NewApplication, vault: &Vault) -> Result<Self, StoreError> {
        let content = std::mem::take(&mut new.content);
        let state = new.application.state();
        let mut salt = [0; 16];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| StoreError::Unavailable("the system has no randomness".into()))?;
        // What the gateway adds goes behind the content as it came: encoded messages that follow
        // each other are one message. The audit log commits to what came.
        let kept = advance::kept(&new.application).encode_to_vec();
        let body = vault.seal(new.id.as_bytes(), "body", &[&*content, &*kept].concat())?;
        let application = &mut new.application;
        application.version = 1;
        application.create_time = Some(clock::to_proto(new.now));
        application.update_time = application.create_time;
        let by = By { party: &application.submitting_party, system: &new.system, time: new.now };
        let received = EventType::ApplicationReceived;
        let id = &application.id;
        let leaf = advance::event_entry(id, 1, received, state, by, &salt, &content).leaf();
        Ok(Self { new, body, salt, leaf })
    }

    /// As it will be read from that row, with what stands beside its content.
    pub(super) fn row(&self, seq: i64, kept: Option<Vec<u8>>) -> ApplicationRow {
        let (new, application) = (&self.new, &self.new.application);
        ApplicationRow {
            seq,
            id: *new.id.as_bytes(),
            business: application.business(),
            state: application.state(),
            version: 1,
            submitter: application.submitting_party.clone(),
            handler: application.handling_party.clone(),
            home_name: application.home_division_name.clone(),
            benefits: new.benefits.concat(),
            open: Open::Open,
            wake: self.wake(),
            salt: self.salt,
            trace: new.trace,
            created: new.now,
            updated: new.now,
            body: self.body.clone(),
            revised: None,
            kept,
        }
    }

    /// When a clock of it first has something to say.
    pub(super) fn wake(&self) -> Option<i64> {
        let application = &self.new.application;
        let limits = business::limits(application.business());
        business::clock::wake(limits, &application.deadlines, application.state())
    }

    /// The party that it is sent to at once.
    pub(super) fn receiver(&self, terms: &Terms) -> Option<&str> {
        let application = &self.new.application;
        let takes = terms.takers.contains(&application.handling_party);
        (takes && application.state() == State::Received)
            .then_some(application.handling_party.as_str())
    }
}

/// An event about to be written.
pub(super) struct NewEvent {
    /// Row of the application.
    pub(super) application: i64,
    /// Within the application, from 1.
    pub(super) sequence: i64,
    pub(super) r#type: EventType,
    pub(super) state: State,
    pub(super) party: String,
    pub(super) time: i64,
    /// Sealed; none when there is nothing personal in it.
    pub(super) detail: Option<Vec<u8>>,
}

/// A delivery about to be written.
pub(super) struct NewDelivery {
    /// Row of the application.
    pub(super) application: i64,
    pub(super) party: String,
    pub(super) kind: DeliveryKind,
    /// The event's number within the application.
    pub(super) event: i64,
    pub(super) message: [u8; 16],
    pub(super) created: i64,
}

impl NewDelivery {
    /// The application itself, to who handles it.
    pub(super) fn first(row: i64, new: &NewApplication, receiver: &str) -> Self {
        let kind = DeliveryKind::Application;
        Self {
            application: row,
            party: receiver.to_owned(),
            kind,
            event: 1,
            message: advance::message_number(new.id.as_bytes(), 1, kind, receiver),
            created: new.now,
        }
    }
}

/// An event as it was read.
pub(super) struct StoredEvent {
    pub(super) number: i64,
    pub(super) application: [u8; 16],
    pub(super) acceptance_number: String,
    pub(super) business: i32,
    pub(super) sequence: i64,
    pub(super) r#type: i32,
    pub(super) state: i32,
    pub(super) time: i64,
    pub(super) party: String,
    pub(super) detail: Option<Vec<u8>>,
}

impl StoredEvent {
    pub(super) fn open(self, vault: &Vault) -> Result<pb::ApplicationEvent, StoreError> {
        let secret: pb::ApplicationEvent = match &self.detail {
            Some(detail) => decode(&vault.unseal(&self.application, "detail", detail)?)?,
            None => pb::ApplicationEvent::default(),
        };
        Ok(pb::ApplicationEvent {
            id: self.number.to_string(),
            application_id: Uuid::from_bytes(self.application).to_string(),
            acceptance_number: self.acceptance_number,
            business: self.business,
            sequence: self.sequence,
            r#type: self.r#type,
            state: self.state,
            time: Some(clock::to_proto(self.time)),
            party: self.party,
            ..secret
        })
    }
}

/// The message as it is encoded in a sealed column.
pub(super) fn seal(
    vault: &Vault,
    id: &[u8; 16],
    column: &str,
    message: &pb::Application,
) -> Result<Vec<u8>, StoreError> {
    vault.seal(id, column, &message.encode_to_vec())
}

/// Decodes what the store itself encoded.
pub(super) fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    M::decode(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}
