//! The cast: people of whom it is known beforehand what must become of them, each written down
//! with the rule that says so. Some must be refused at the window; some are taken with a question
//! that the home then finds answered or not; some are late, absent, moved, or give up.

mod play;

use crate::sim::{case::Business, fates::Fate};

/// What must become of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Taken.
    Taken,
    /// Taken, and the question of this rule with it.
    Asked(&'static str),
    /// Refused by this rule; where only the hub could tell and is silent, taken and asked.
    Refused(&'static str),
    /// Refused because there is one already.
    Twice,
    /// Another party submits the same person: one of the two is taken, the other refused.
    Either,
    /// Taken, and sent besides what was planned.
    Besides,
}

/// What the people at the window do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Bring what they are asked for.
    Helpful,
    /// Have nothing to bring and hand in something else.
    Empty,
    /// Withdraw when they are asked.
    GivesUp,
    /// Never answer.
    Silent,
    /// Withdraw at once.
    Withdraws,
    /// Do not come on the day they booked.
    Absent,
    /// Move with the benefit once it is granted.
    Moves,
}

/// One of the cast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub business: Business,
    past: Fate,
    twist: Twist,
    pub expected: Expected,
    pub manner: Manner,
}

/// What differs from a form that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    None,
    TooYoung,
    Declares(&'static str),
    Booked,
    MarriedAbroad,
    NoAgreement,
    Incapable,
    OutOfDate,
    LightlyDisabled,
    NotNeedy,
    DeclaresInjuryFee,
    DeclaresTekun,
    DeclaresOrphan,
    NoCare,
    Asks(&'static str),
    MovesFrom(Paid),
    TooOld,
    ParentCares,
    ParentUnknown,
    WrongBand,
    NotSeen,
    OtherAllowance,
    Supported,
    Earns,
    Saves,
    Alone,
    Lacks(&'static str),
}

/// What one who moves says about the place that paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paid {
    /// The truth.
    True,
    /// Another place.
    Elsewhere,
    /// Another month.
    AnotherMonth,
}

const fn row(
    business: Business,
    past: Fate,
    twist: Twist,
    expected: Expected,
    manner: Manner,
) -> Row {
    Row { business, past, twist, expected, manner }
}

/// Who must be refused at the window.
pub(super) const REFUSED: &[Row] = {
    use Business as B;
    use Expected::Refused as No;
    use Fate as F;
    use Manner::Empty;
    use Twist as T;
    &[
        row(B::Marriage, F::Ordinary, T::TooYoung, No("M1"), Empty),
        row(B::Marriage, F::Cooling, T::None, No("M2"), Empty),
        row(B::Divorce, F::Married, T::MarriedAbroad, No("D4"), Empty),
        row(B::Divorce, F::Cooling, T::None, No("D1"), Empty),
        row(B::Subsidy, F::Ordinary, T::OutOfDate, No("S10"), Empty),
        row(B::Subsidy, F::Ordinary, T::LightlyDisabled, No("S2"), Empty),
        row(B::Subsidy, F::Ordinary, T::NotNeedy, No("S1"), Empty),
        row(B::Subsidy, F::Ordinary, T::DeclaresInjuryFee, No("S4"), Empty),
        row(B::Subsidy, F::Ordinary, T::DeclaresTekun, No("S5"), Empty),
        row(B::Subsidy, F::Ordinary, T::DeclaresOrphan, No("S6"), Empty),
        row(B::Subsidy, F::DrawsLiving, T::Asks("1"), No("S9"), Empty),
        row(B::Subsidy, F::DrawsNursing, T::Asks("2"), No("S9"), Empty),
        row(B::Subsidy, F::DrawsThere, T::MovesFrom(Paid::Elsewhere), No("S9"), Empty),
        row(B::Subsidy, F::Dead, T::None, No("S11"), Empty),
        row(B::Subsidy, F::ExtremelyPoor, T::None, No("S5"), Empty),
        row(B::Subsidy, F::InjuryFee, T::None, No("S4"), Empty),
        row(B::Subsidy, F::DrawsChild, T::Asks("1"), No("S6"), Empty),
        row(B::Child, F::Ordinary, T::TooOld, No("C1"), Empty),
        row(B::Child, F::Ordinary, T::ParentCares, No("C2"), Empty),
        row(B::Child, F::DrawsChild, T::None, No("C7"), Empty),
        row(B::OldAge, F::Ordinary, T::TooYoung, No("A1"), Empty),
        row(B::OldAge, F::Ordinary, T::WrongBand, No("A2"), Empty),
        row(B::OldAge, F::Dead, T::None, No("A4"), Empty),
        row(B::OldAge, F::DrawsOldAge, T::None, No("A6"), Empty),
        row(B::Assistance, F::ExtremelyPoor, T::Asks("1"), No("H1"), Empty),
        row(B::Assistance, F::Ordinary, T::Supported, No("H2"), Empty),
        row(B::Assistance, F::Dead, T::None, No("H6"), Empty),
    ]
};

/// Who is taken and is to be looked at.
pub(super) const TAKEN: &[Row] = {
    use Business as B;
    use Expected::{Asked, Taken};
    use Fate as F;
    use Manner::{Empty, GivesUp, Helpful, Silent, Withdraws};
    use Twist as T;
    &[
        row(B::Marriage, F::Widowed, T::Declares("30"), Asked("M2"), Helpful),
        row(B::Marriage, F::Married, T::None, Asked("M2"), Empty),
        row(B::Marriage, F::Divorced, T::Declares("40"), Taken, Helpful),
        row(B::Marriage, F::MarriedLongAgo, T::None, Asked("M2"), Helpful),
        row(B::Marriage, F::Ordinary, T::None, Taken, Withdraws),
        row(B::Marriage, F::Unanswered, T::None, Asked("M2"), Helpful),
        row(B::Divorce, F::Ordinary, T::None, Asked("D1"), Helpful),
        row(B::Divorce, F::Married, T::NoAgreement, Asked("D2"), GivesUp),
        row(B::Divorce, F::Ordinary, T::None, Asked("D1"), Empty),
        row(B::Divorce, F::Married, T::Incapable, Asked("D3"), GivesUp),
        row(B::Subsidy, F::DrawsThere, T::MovesFrom(Paid::True), Taken, Helpful),
        row(B::Subsidy, F::RegisteredElsewhere, T::None, Asked("S11"), Empty),
        row(B::Subsidy, F::Ordinary, T::Lacks("113"), Asked("W"), GivesUp),
        row(B::Subsidy, F::NeverAnswers, T::Lacks("401"), Asked("W"), Silent),
        row(B::Subsidy, F::DrewUntilMoved, T::MovesFrom(Paid::True), Taken, Helpful),
        row(B::Subsidy, F::CertificateDiffers, T::None, Asked("S10"), Empty),
        row(B::Subsidy, F::DrawsThere, T::MovesFrom(Paid::AnotherMonth), Asked("S9"), Helpful),
        row(B::Subsidy, F::DrawsThere, T::Asks("exit"), Taken, Helpful),
        row(B::Subsidy, F::Ordinary, T::NoCare, Asked("S2"), Helpful),
        row(B::Subsidy, F::CertificateExpired, T::None, Asked("S10"), Empty),
        row(B::Subsidy, F::DrawsThere, T::Asks("change"), Taken, Helpful),
        row(B::Subsidy, F::Ordinary, T::OtherAllowance, Asked("S7"), Helpful),
        row(B::Subsidy, F::DrawsThere, T::Asks("suspend"), Taken, Helpful),
        row(B::Subsidy, F::DrawsThere, T::Asks("resume"), Taken, Helpful),
        row(B::Subsidy, F::Unanswered, T::None, Asked("S11"), Helpful),
        row(B::Child, F::Ordinary, T::ParentUnknown, Asked("C2"), Helpful),
        row(B::Child, F::RegisteredElsewhere, T::None, Asked("C4"), Empty),
        row(B::Child, F::Ordinary, T::Lacks("122"), Asked("W"), GivesUp),
        row(B::Child, F::Ordinary, T::ParentUnknown, Asked("C2"), Empty),
        row(B::Child, F::Unanswered, T::None, Asked("C4"), Helpful),
        row(B::OldAge, F::DrawsThere, T::MovesFrom(Paid::True), Taken, Helpful),
        row(B::OldAge, F::Ordinary, T::NotSeen, Asked("A7"), Helpful),
        row(B::OldAge, F::RegisteredElsewhere, T::None, Asked("A5"), Empty),
        row(B::OldAge, F::Ordinary, T::Lacks("111"), Asked("W"), GivesUp),
        row(B::OldAge, F::DrawsThere, T::Asks("exit"), Taken, Helpful),
        row(B::OldAge, F::Ordinary, T::OtherAllowance, Asked("A3"), Helpful),
        row(B::OldAge, F::DrawsThere, T::Asks("suspend"), Taken, Helpful),
        row(B::OldAge, F::Unanswered, T::None, Asked("A5"), Helpful),
        row(B::Assistance, F::Ordinary, T::Earns, Asked("H3"), Empty),
        row(B::Assistance, F::OnDibao, T::Alone, Taken, Helpful),
        row(B::Assistance, F::Ordinary, T::Lacks("601"), Asked("W"), GivesUp),
        row(B::Assistance, F::RegisteredElsewhere, T::None, Asked("H5"), Empty),
        row(B::Assistance, F::Ordinary, T::Saves, Asked("H4"), Empty),
        row(B::Assistance, F::Unanswered, T::None, Asked("H5"), Helpful),
    ]
};

/// A booked couple that never comes: it rests at the gateway until its day is over.
pub(super) const ABSENT: Row =
    row(Business::Marriage, Fate::Ordinary, Twist::Booked, Expected::Besides, Manner::Absent);
