//! Bugs to plant into the store, each one that somebody could write: the simulation must find them
//! all. Test-only.

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::{
    rows::{Accepted, Settlement},
    sqlite::writer::Command,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// What may have arrived is sent again without asking.
    SendsUnasked,
    /// What may have arrived is taken for delivered.
    TrustsSilence,
    /// Used keys are forgotten.
    ForgetsKeys,
    /// A change is taken again under the key it was made with.
    RepeatsChanges,
    /// Now and then a leaf is not written.
    SkipsLeaf,
    /// A later delivery overtakes one that failed.
    Overtakes,
    /// The caller is answered, then the application is written.
    AnswersEarly,
    /// A parked delivery is gone.
    LosesParked,
    /// Now and then an event is told nobody.
    KeepsSilent,
    /// A second application for the benefit is not noticed.
    PaysTwice,
    /// A clock that has run out causes nothing.
    SleepsLate,
}

impl Bug {
    pub(crate) const ALL: [Self; 11] = [
        Self::SendsUnasked,
        Self::TrustsSilence,
        Self::ForgetsKeys,
        Self::RepeatsChanges,
        Self::SkipsLeaf,
        Self::Overtakes,
        Self::AnswersEarly,
        Self::LosesParked,
        Self::KeepsSilent,
        Self::PaysTwice,
        Self::SleepsLate,
    ];

    /// What the bug makes of the writes that wait.
    pub(super) fn twisted(self, batch: Vec<Command>) -> Vec<Command> {
        batch.into_iter().map(|command| self.twist(command)).collect()
    }

    fn twist(self, command: Command) -> Command {
        match (self, command) {
            (
                Self::SendsUnasked,
                Command::Settle(lease, Settlement::Again { due, note, .. }, r),
            ) => {
                let again = Settlement::Again { due, unknown: false, counted: true, note };
                Command::Settle(lease, again, r)
            }
            (
                Self::TrustsSilence,
                Command::Settle(lease, Settlement::Again { unknown: true, .. }, reply),
            ) => Command::Settle(lease, Settlement::Delivered, reply),
            (Self::RepeatsChanges, Command::Apply(mut change, reply)) => {
                change.key.key = *uuid::Uuid::new_v4().as_bytes().repeat(2).as_array().unwrap();
                Command::Apply(change, reply)
            }
            (Self::AnswersEarly, Command::Accept(prepared, mut reply)) => {
                let (nobody, _) = oneshot::channel();
                let told = std::mem::replace(&mut reply.to, nobody);
                _ = told.send(Ok(Accepted::New(prepared.new.application.clone())));
                Command::Accept(prepared, reply)
            }
            (Self::PaysTwice, Command::Accept(mut prepared, reply)) => {
                prepared.new.benefits.clear();
                Command::Accept(prepared, reply)
            }
            (_, command) => command,
        }
    }

    /// What the bug does to the database after a commit, when it `shows`.
    pub(super) fn strike(self, connection: &Connection, shows: bool) {
        let sql = match self {
            Self::ForgetsKeys => "DELETE FROM idempotency",
            Self::SkipsLeaf if shows => {
                "DELETE FROM leaves WHERE position = (SELECT max(position) FROM leaves)"
            }
            Self::Overtakes if shows => {
                "UPDATE deliveries SET state = 9 WHERE state = 0 AND attempts > 0; \
                 UPDATE deliveries SET due = created WHERE state = 0 AND attempts = 0"
            }
            Self::Overtakes => "UPDATE deliveries SET state = 0 WHERE state = 9",
            Self::LosesParked => "DELETE FROM deliveries WHERE state = 3",
            Self::KeepsSilent if shows => {
                "DELETE FROM deliveries WHERE state = 0 AND kind = 2 AND attempts = 0"
            }
            Self::SleepsLate => "UPDATE applications SET wake = NULL",
            _ => return,
        };
        connection.execute_batch(sql).unwrap();
    }
}
