//! What goes wrong in a run, and how often. A seed draws the kinds of trouble it has: a run with
//! all of them at once would seldom get far enough to find the trouble that one alone makes.

use crate::simulation::random::{below, percent};

/// Shares in a hundred, but for the counts at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    // The disk.
    pub(super) commit_not_done: u64,
    pub(super) commit_done_but_failed: u64,
    pub(super) commit_slow: u64,
    pub(super) read_failed: u64,
    pub(super) dies_in_commit: u64,
    // The network to the parties.
    pub(super) no_connection: u64,
    pub(super) request_lost: u64,
    pub(super) answer_lost: u64,
    pub(super) answer_cut: u64,
    pub(super) slow: u64,
    pub(super) twice: u64,
    // The parties.
    pub(super) garbage: u64,
    pub(super) error_before: u64,
    pub(super) error_after: u64,
    pub(super) busy: u64,
    pub(super) refused: u64,
    // The network of those who call.
    pub(super) call_lost: u64,
    pub(super) told_lost: u64,
    pub(super) call_twice: u64,
    /// How often something happens to the gateway, the clock or a party as a whole.
    pub(super) blows: u64,
}

impl Weather {
    /// The weather that the seed has.
    pub(super) fn drawn() -> Self {
        Self {
            commit_not_done: share(8),
            commit_done_but_failed: share(8),
            commit_slow: share(5),
            read_failed: share(5),
            dies_in_commit: share(2),
            no_connection: share(25),
            request_lost: share(25),
            answer_lost: share(25),
            answer_cut: share(15),
            slow: share(20),
            twice: share(20),
            garbage: share(15),
            error_before: share(20),
            error_after: share(20),
            busy: share(20),
            refused: share(5),
            call_lost: share(20),
            told_lost: share(25),
            call_twice: share(25),
            blows: share(9),
        }
    }
}

/// Half of the kinds of trouble a seed does not have.
fn share(most: u64) -> u64 {
    if percent(50) { 0 } else { 1 + below(most) }
}
