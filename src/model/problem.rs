//! What a caller is told when something is refused: reason, fields, remedy. No transport in it.

use std::time::Duration;

/// Why a call was refused. The closed list of `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// One or more fields break a rule of form.
    InvalidArgument,
    /// A citizen identification number fails GB 11643.
    InvalidIdNumber,
    /// A division code is not in the table.
    UnknownDivision,
    /// The rules of the business refuse the application.
    NotEligible,
    /// The same person has an open application for the same benefit.
    DuplicateApplication,
    /// The idempotency key is missing.
    IdempotencyKeyRequired,
    /// The idempotency key was used with other content.
    IdempotencyKeyReused,
    /// The application's state does not allow the change.
    IllegalTransition,
    /// `expectedVersion` is not the application's version.
    VersionConflict,
    /// No such application, or none the caller may know of.
    NotFound,
    /// No such path or method.
    UnknownPath,
    /// No token, or a wrong one.
    Unauthenticated,
    /// The token's scope, or the caller's role in the application, does not allow it.
    PermissionDenied,
    /// The request is larger than allowed.
    PayloadTooLarge,
    /// The content type is not one this path reads.
    UnsupportedMediaType,
    /// The party sends more than its rate.
    RateLimited,
    /// The gateway sheds new work.
    Overloaded,
    /// The store, or another part the answer needs, cannot be reached now.
    Unavailable,
    /// The caller's deadline, or the gateway's own, has passed.
    DeadlineExceeded,
    /// A fault of the gateway's own.
    Internal,
}

impl Reason {
    /// Every reason, in the order of `docs/errors.md`.
    pub const ALL: [Self; 20] = [
        Self::InvalidArgument,
        Self::InvalidIdNumber,
        Self::UnknownDivision,
        Self::NotEligible,
        Self::DuplicateApplication,
        Self::IdempotencyKeyRequired,
        Self::IdempotencyKeyReused,
        Self::IllegalTransition,
        Self::VersionConflict,
        Self::NotFound,
        Self::UnknownPath,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The reason as it stands on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::InvalidIdNumber => "INVALID_ID_NUMBER",
            Self::UnknownDivision => "UNKNOWN_DIVISION",
            Self::NotEligible => "NOT_ELIGIBLE",
            Self::DuplicateApplication => "DUPLICATE_APPLICATION",
            Self::IdempotencyKeyRequired => "IDEMPOTENCY_KEY_REQUIRED",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::IllegalTransition => "ILLEGAL_TRANSITION",
            Self::VersionConflict => "VERSION_CONFLICT",
            Self::NotFound => "NOT_FOUND",
            Self::UnknownPath => "UNKNOWN_PATH",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::Unavailable => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Internal => "INTERNAL",
        }
    }

    /// The reason of that wire name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// One field that breaks a rule. Neither text ever holds the field's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path of the field in the caller's own format: `applicant.residentId`, `sqr.sfzh`.
    pub field: String,
    /// What is wrong and what to do, without the value.
    pub description: String,
    /// The reason this field alone would give.
    pub reason: Cause,
}

/// Which rule of form a violation breaks; decides the reason of the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Form: missing, too long, not a code, not a date.
    Form,
    /// Citizen identification number.
    IdNumber,
    /// Division code.
    Division,
    /// A rule of the business.
    Eligibility,
}

impl Violation {
    /// A violation of form.
    pub fn form(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::of(Cause::Form, field, description)
    }

    /// A violation of the given kind.
    pub fn of(reason: Cause, field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into(), reason }
    }
}

/// A refusal, as every transport tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Why.
    pub reason: Reason,
    /// One sentence: what could not be done and what to do. Never personal data.
    pub detail: String,
    /// Every field that breaks a rule, all at once.
    pub violations: Vec<Violation>,
    /// When to try again, where that helps.
    pub retry_after: Option<Duration>,
    /// Further facts for the caller, such as the id of the first application.
    pub metadata: Vec<(&'static str, String)>,
}

impl Problem {
    /// A problem without fields.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            violations: Vec::new(),
            retry_after: None,
            metadata: Vec::new(),
        }
    }

    /// The problem that `violations` together make; the reason is that of the fields when they
    /// all share one, else `INVALID_ARGUMENT`.
    pub fn violations(mut violations: Vec<Violation>) -> Self {
        violations.sort();
        violations.dedup();
        let first = violations.first().map_or(Cause::Form, |violation| violation.reason);
        let alike = violations.iter().all(|violation| violation.reason == first);
        let reason = match first {
            Cause::IdNumber if alike => Reason::InvalidIdNumber,
            Cause::Division if alike => Reason::UnknownDivision,
            Cause::Eligibility if alike => Reason::NotEligible,
            _ => Reason::InvalidArgument,
        };
        let detail = match violations.len() {
            1 => "1 field was refused; correct it and send the document again".to_owned(),
            n => format!("{n} fields were refused; correct them and send the document again"),
        };
        Self { violations, ..Self::new(reason, detail) }
    }

    /// The same problem with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same problem with one more fact.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }
}
