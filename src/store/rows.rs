//! What goes into the store and what comes out of it: applications, changes, deliveries, leases.
//! Plain data; knows no SQL.

use uuid::Uuid;

use crate::{
    model::{
        pb::{self, EventType, State},
        trace::TraceContext,
    },
    store::{StoreError, likeness::Likeness},
};

/// An idempotency key within its scope, and the content it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// SHA-256 of party, operation and key.
    pub key: [u8; 32],
    /// SHA-256 of the content.
    pub content: [u8; 32],
}

/// A new application, checked and routed.
#[derive(Clone)]
pub struct NewApplication {
    /// The application with all its fields but version and times.
    pub application: Box<pb::Application>,
    /// The application encoded as it came, without what the gateway sets; what is stored.
    pub content: Vec<u8>,
    /// Its id.
    pub id: Uuid,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// Keyed digests of what it claims: person and benefit.
    pub benefits: Vec<[u8; 16]>,
    /// By what it is found to be like others; `None` where every person has a number.
    pub likeness: Option<Likeness>,
    /// The token's `sub`.
    pub system: String,
    /// The caller's trace.
    pub trace: TraceContext,
    /// Now, microseconds UTC.
    pub now: i64,
}

/// What became of a new application.
#[derive(Debug)]
pub enum Accepted {
    /// Stored.
    New(Box<pb::Application>),
    /// The key was used with the same content: the first answer.
    Replayed(Box<pb::Application>),
    /// The key was used with other content.
    KeyReused,
    /// The person has an open application for the benefit, or draws it.
    Duplicate {
        /// The first application.
        first: Uuid,
        /// It was granted and the benefit is being paid.
        paid: bool,
        /// What of its own claims the new one could not have, whoever has it.
        held: Vec<[u8; 16]>,
    },
}

/// A change by a party.
pub struct Change {
    /// The application.
    pub id: Uuid,
    /// What happens; its reason, decision and materials ride in the event.
    pub event: pb::ApplicationEvent,
    /// Code of the party that causes it.
    pub party: String,
    /// The token's `sub`.
    pub system: String,
    /// The version the party saw; 0 for any.
    pub expected_version: i64,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// Now, microseconds UTC.
    pub now: i64,
}

/// What became of a change.
#[derive(Debug)]
pub enum Applied {
    /// Done.
    Done(Box<pb::Application>),
    /// The key was used with the same content: the first answer.
    Replayed(Box<pb::Application>),
    /// The key was used with other content.
    KeyReused,
    /// Refused; nothing changed.
    Refused(Refusal),
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such application.
    NotFound,
    /// It has another version.
    VersionConflict(i64),
    /// Its state does not allow the change.
    Illegal(State),
    /// It has had so many events that it can only be decided or ended.
    TooManyEvents,
    /// What it would change, end or move is paid by another place than this field names.
    PaidElsewhere(&'static str),
}

/// The first answer to an idempotency key.
#[derive(Debug)]
pub enum Recalled {
    /// Same content: this was the answer.
    Answer(Box<pb::Application>),
    /// Other content.
    KeyReused,
}

/// What decides who may do what.
#[derive(Clone, Debug)]
pub struct Header {
    /// What is applied for.
    pub business: pb::Business,
    /// Code of the submitting party.
    pub submitter: String,
    /// Code of the handling party.
    pub handler: String,
    /// Where it stands.
    pub state: State,
    /// Trace of the submission.
    pub trace: TraceContext,
}

/// Which applications to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The party that asks.
    pub party: String,
    /// Only this business.
    pub business: Option<pb::Business>,
    /// Only this state.
    pub state: Option<State>,
    /// Only home divisions that begin so.
    pub home_division: String,
    /// At most so many.
    pub limit: usize,
    /// Only those before this place.
    pub before: Option<i64>,
}

/// What a delivery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    /// The application, to the handling party.
    Application,
    /// An event.
    Event,
    /// The application with its decision, to the handling party.
    Result,
}

impl DeliveryKind {
    /// Its number in the table.
    pub const fn number(self) -> i64 {
        match self {
            Self::Application => 1,
            Self::Event => 2,
            Self::Result => 3,
        }
    }

    /// The kind of that number.
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Application),
            2 => Some(Self::Event),
            3 => Some(Self::Result),
            _ => None,
        }
    }

    /// The word operators read.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Event => "event",
            Self::Result => "result",
        }
    }
}

/// The right to attempt one delivery until it expires.
///
/// Made only by [`crate::store::Store::lease`]; ended by [`crate::store::Store::settle`], which
/// takes it by value. A lease that expires unsettled is offered again.
#[derive(Debug)]
#[must_use = "an unsettled lease is retried after it expires"]
pub struct Lease {
    /// The delivery.
    pub(in crate::store) delivery: i64,
    /// Names the lease among those of its delivery: only the last one can be settled.
    pub(in crate::store) fence: i64,
    /// The attempt that this lease is for, from 1.
    pub(in crate::store) attempt: u32,
    /// What is delivered.
    pub(in crate::store) kind: DeliveryKind,
    /// Message number.
    pub(in crate::store) message: [u8; 16],
    /// Whether an earlier attempt may have arrived.
    pub(in crate::store) unknown: bool,
    /// When the delivery was created, microseconds UTC.
    pub(in crate::store) created: i64,
    /// The application as it stands.
    pub(in crate::store) application: Box<pb::Application>,
    /// The event, for a delivery of one.
    pub(in crate::store) event: Option<Box<pb::ApplicationEvent>>,
    /// The event's number within the application.
    pub(in crate::store) sequence: i64,
    /// Trace of the submission.
    pub(in crate::store) trace: TraceContext,
    /// The party it is for.
    pub(in crate::store) party: String,
}

impl Lease {
    /// Number of the delivery.
    pub const fn delivery(&self) -> i64 {
        self.delivery
    }

    /// The attempt, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What is delivered.
    pub const fn kind(&self) -> DeliveryKind {
        self.kind
    }

    /// Message number, 32 hexadecimal digits; the same on every attempt.
    pub fn message_number(&self) -> String {
        hex::encode(self.message)
    }

    /// Whether an earlier attempt may have arrived: ask before sending.
    pub const fn unknown(&self) -> bool {
        self.unknown
    }

    /// When the delivery was created, microseconds UTC.
    pub const fn created(&self) -> i64 {
        self.created
    }

    /// The application as it stands.
    pub const fn application(&self) -> &pb::Application {
        &self.application
    }

    /// The event, for a delivery of one.
    pub fn event(&self) -> Option<&pb::ApplicationEvent> {
        self.event.as_deref()
    }

    /// The number of the delivered event within the application.
    pub const fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Trace of the submission.
    pub const fn trace(&self) -> TraceContext {
        self.trace
    }

    /// The application's id.
    pub(in crate::store) fn id(&self) -> Result<Uuid, StoreError> {
        let id = Uuid::try_parse(&self.application.id);
        id.map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// The party it is for.
    pub fn party(&self) -> &str {
        &self.party
    }

    /// What the application goes through once this is delivered.
    pub fn step_when_delivered(&self) -> Option<EventType> {
        let decided = |event: &pb::ApplicationEvent| event.r#type() == EventType::DecisionMade;
        match self.kind {
            DeliveryKind::Application => Some(EventType::ApplicationForwarded),
            DeliveryKind::Result => Some(EventType::DecisionDelivered),
            DeliveryKind::Event => {
                let to_submitter = self.party == self.application.submitting_party;
                let decided = self.event().is_some_and(decided);
                (decided && to_submitter).then_some(EventType::DecisionDelivered)
            }
        }
    }
}

/// How an attempt ended. Notes hold codes and words of ours, never personal data.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// The receiver stored it.
    Delivered,
    /// The receiver understood and refused it; parked for operations.
    Refused {
        /// The receiver's code.
        note: String,
    },
    /// To be tried again.
    Again {
        /// When, microseconds UTC.
        due: i64,
        /// Whether the attempt may have arrived.
        unknown: bool,
        /// Whether it counts against the retry budget.
        counted: bool,
        /// Why.
        note: String,
    },
    /// The retry budget is spent; parked for operations.
    Parked {
        /// Whether an attempt may have arrived.
        unknown: bool,
        /// Why the last attempt failed.
        note: String,
    },
}

/// A parked delivery, for operations.
#[derive(Clone, Debug)]
pub struct ParkedDelivery {
    /// Number of the delivery.
    pub delivery: i64,
    /// The application's id.
    pub application: Uuid,
    /// The party it is for.
    pub party: String,
    /// What it carries.
    pub kind: DeliveryKind,
    /// Message number, 32 hexadecimal digits.
    pub message_number: String,
    /// Attempts made.
    pub attempts: u32,
    /// Why the last one failed.
    pub note: String,
    /// When it was created, microseconds UTC.
    pub created: i64,
    /// The trace it belongs to, 32 hexadecimal digits.
    pub trace_id: String,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Waits to be sent.
    Due,
    /// Is being sent.
    Leased,
    /// The receiver stored it.
    Delivered,
    /// Given up until operations replay or discard it.
    Parked,
    /// Given up for good.
    Discarded,
}

/// A delivery as reconciliation sees it.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Number of the delivery.
    pub delivery: i64,
    /// The application's id.
    pub application: Uuid,
    /// What is applied for.
    pub business: pb::Business,
    /// What it carries.
    pub kind: DeliveryKind,
    /// Message number, 32 hexadecimal digits.
    pub message_number: String,
    /// Where it stands.
    pub progress: Progress,
    /// How the last attempt ended.
    pub note: String,
    /// When it was created, microseconds UTC.
    pub created: i64,
}

/// Applications whose time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Those that a purge takes.
    pub due: i64,
    /// Those that it holds back: something is still to be sent, a clock runs, a key is kept.
    pub held_back: i64,
}
