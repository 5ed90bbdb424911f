//! What is counted of one business in one direction.

use serde_json::{Value, json};

/// Counters of one business in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub submitted: usize,
    pub accepted: usize,
    pub delivered: usize,
    pub decided: usize,
    pub notified: usize,
    pub withdrawn: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub parked: usize,
    /// Arrived with other content than was sent.
    pub altered: usize,
    /// Taken, or not, against the regulation.
    pub disagreed: usize,
    /// Taken with questions that the handling side has to look into.
    pub to_check: usize,
    /// Decided for.
    pub granted: usize,
    /// Decided against.
    pub denied: usize,
    /// Papers were asked for and handed in.
    pub supplemented: usize,
    /// A benefit that moved with its household.
    pub moved: usize,
    /// Over by time: papers that never came.
    pub lapsed: usize,
    /// Divorces in their cooling-off period.
    pub waiting: usize,
    /// Sent besides: couples that booked and never came.
    pub absent: usize,
    /// Sent besides: archives that the hub asked us for.
    pub archives_here: usize,
    /// Places that paid and were told that they no longer do.
    pub told_to_stop: usize,
    /// Marriages that a court annulled afterwards.
    pub annulled: usize,
    /// A township reported to its county.
    pub reviewed: usize,
    /// An archive was asked for.
    pub archives: usize,
    /// The first applicant's side was told that somebody applied again.
    pub told_twice: usize,
    /// Sent to be refused, taken with a question because the hub was silent, and denied at home.
    pub let_through: usize,
    /// Submitted besides and refused, as had to be: excluded by a rule.
    pub excluded: usize,
    /// Submitted besides and refused, as had to be: open or paid already.
    pub found_twice: usize,
}

impl Cell {
    pub(super) const fn add(&mut self, other: Self) {
        self.submitted += other.submitted;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.decided += other.decided;
        self.notified += other.notified;
        self.withdrawn += other.withdrawn;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.parked += other.parked;
        self.altered += other.altered;
        self.disagreed += other.disagreed;
        self.to_check += other.to_check;
        self.granted += other.granted;
        self.annulled += other.annulled;
        self.reviewed += other.reviewed;
        self.archives += other.archives;
        self.told_twice += other.told_twice;
        self.let_through += other.let_through;
        self.archives_here += other.archives_here;
        self.told_to_stop += other.told_to_stop;
        self.denied += other.denied;
        self.absent += other.absent;
        self.supplemented += other.supplemented;
        self.moved += other.moved;
        self.lapsed += other.lapsed;
        self.waiting += other.waiting;
        self.excluded += other.excluded;
        self.found_twice += other.found_twice;
    }

    pub(super) fn to_json(self) -> Value {
        json!({
            "submitted": self.submitted,
            "accepted": self.accepted,
            "delivered": self.delivered,
            "decided": self.decided,
            "notified": self.notified,
            "withdrawn": self.withdrawn,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "parked": self.parked,
            "altered": self.altered,
            "disagreed": self.disagreed,
            "toCheck": self.to_check,
            "granted": self.granted,
            "denied": self.denied,
            "supplemented": self.supplemented,
            "moved": self.moved,
            "lapsed": self.lapsed,
            "waiting": self.waiting,
            "absent": self.absent,
            "archivesOfOurs": self.archives_here,
            "toldToStop": self.told_to_stop,
            "annulled": self.annulled,
            "reviewed": self.reviewed,
            "archivesAsked": self.archives,
            "toldOfSecond": self.told_twice,
            "letThrough": self.let_through,
            "refusedByRule": self.excluded,
            "foundTwice": self.found_twice,
        })
    }
}
