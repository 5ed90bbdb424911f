//! The comparison: both lists in the order of persons, walked side by side; every payment judged
//! by the line of the national list it belongs to. Rules and sources: `docs/reconciliation.md`.

use std::io;

use crate::reconcile::{
    number::Number,
    rolls::{ACTIVE, Listed, Month, Paid, Terms},
};

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cover {
    /// 错保: paid and not entitled, or too much.
    Wrong,
    /// 漏保: entitled and not paid, or too little.
    Missed,
    /// A human must look.
    Ask,
}

impl Cover {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Missed => "missed",
            Self::Ask => "ask",
        }
    }
}

macro_rules! kinds {
    ($($kind:ident $word:literal $cover:ident $what:literal $remedy:literal;)*) => {
        /// A kind of difference. The first that applies to a payment names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = $what] $kind,)* }

        impl Kind {
            /// All, in order.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// Wrong or missed cover, or a question.
            pub const fn cover(self) -> Cover {
                match self { $(Self::$kind => Cover::$cover,)* }
            }

            /// What it says.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$kind => $what,)* }
            }

            /// What to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$kind => $remedy,)* }
            }
        }
    };
}

kinds! {
    PaidTwice "paid_twice" Wrong "The same person is paid the same subsidy on an earlier line, perhaps under another spelling of the number." "Keep one record; recover the second payment.";
    NotListed "not_listed" Wrong "The national list has no line for this person and subsidy." "Check number and certificate; register the record nationally or stop paying.";
    Dead "dead" Wrong "Died before the month." "Stop; recover what was paid from the month after death.";
    MovedOut "moved_out" Wrong "The household is registered in another province." "Stop; tell the new place the last paid month so that it goes on without a gap.";
    DrawnElsewhere "drawn_elsewhere" Wrong "Another province pays the same subsidy to this person." "Agree with the other province on the household's place; the other one stops.";
    Tekun "tekun" Wrong "Is supported as 特困, which excludes both subsidies." "Stop from the month after the support began.";
    WorkInjury "work_injury" Wrong "Draws the work-injury nursing fee, which excludes both subsidies." "Stop from the month after the fee began.";
    Orphan "orphan" Wrong "Draws the orphan allowance, which excludes the living subsidy." "Stop the living subsidy; nursing may go on.";
    CertificateExpired "certificate_expired" Wrong "The disability certificate expired before the month." "Ask the person to renew it; suspend until then.";
    LevelTooLow "level_too_low" Wrong "The level of disability gives no nursing subsidy here." "Check the certificate; stop.";
    NotNeedy "not_needy" Wrong "The household is of no hardship kind that gives the living subsidy here." "Check the household's 低保 record; stop.";
    Ended "ended" Wrong "The national record is suspended or ended." "Stop, or correct the national record.";
    PaidTooMuch "paid_too_much" Wrong "More is paid than the national record says." "Correct the amount; set the surplus against the next month.";
    NotPaid "not_paid" Missed "The national record is active and entitled, and nothing is paid." "Pay; make up for the months since the application.";
    NotApplied "not_applied" Missed "Is entitled by the national list and has not applied." "Invite the person to apply (政策找人).";
    PaidTooLittle "paid_too_little" Missed "Less is paid than the national record says." "Correct the amount; pay the rest.";
    NameDiffers "name_differs" Ask "The number is the same, the name is not." "Compare with the household register; correct one of them.";
    Unclear "unclear" Ask "A fact that decides is empty in the national list." "Complete the national record and compare again.";
    ListedTwice "listed_twice" Ask "The national list has this person and subsidy on an earlier line for the same province." "Have the list corrected; the earlier line was used.";
}

/// One difference.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// What it is.
    pub kind: Kind,
    /// Whatever else is wrong with the same payment, a bit per kind.
    others: u32,
    /// Whose.
    pub person: Number,
    /// `true` for the nursing, `false` for the living subsidy.
    pub nursing: bool,
    /// Line of the payment.
    pub paid_line: Option<u32>,
    /// Line in the national list.
    pub listed_line: Option<u32>,
    /// What is at stake, fen.
    pub fen: u32,
}

impl Difference {
    /// The other kinds that apply to the same payment.
    pub fn others(&self) -> impl Iterator<Item = Kind> {
        let others = self.others;
        Kind::ALL.iter().copied().filter(move |kind| others & bit(*kind) != 0)
    }
}

/// How many differences of each kind, and how much money.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Count and fen, in the order of [`Kind::ALL`].
    pub kinds: [(u64, u64); Kind::ALL.len()],
    /// Payments without a difference.
    pub agreed: u64,
}

const fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

/// Compares; sorts both lists in place and tells each difference once, in the order of persons.
///
/// # Errors
/// What `found` answers.
pub fn compare(
    paid: &mut [Paid],
    listed: &mut [Listed],
    terms: &Terms,
    found: impl FnMut(&Difference) -> io::Result<()>,
) -> io::Result<Tally> {
    paid.sort_unstable_by_key(|row| (row.key, row.line));
    listed.sort_unstable_by_key(|row| (row.key, row.line));
    let mut told = Told { found, tally: Tally::default() };
    let (mut paid, mut listed) = (&*paid, &*listed);
    loop {
        let key = match (paid.first(), listed.first()) {
            (Some(paid), Some(listed)) => paid.key.min(listed.key),
            (Some(paid), None) => paid.key,
            (None, Some(listed)) => listed.key,
            (None, None) => return Ok(told.tally),
        };
        let payments = run(paid, |row| row.key, key);
        let lines = run(listed, |row| row.key, key);
        let person = Person { key, paid: &paid[..payments], listed: &listed[..lines], terms };
        person.judge(&mut told)?;
        paid = &paid[payments..];
        listed = &listed[lines..];
    }
}

/// How many rows at the beginning have the key.
fn run<T>(rows: &[T], of: impl Fn(&T) -> u64, key: u64) -> usize {
    rows.iter().take_while(|row| of(row) == key).count()
}

struct Told<F> {
    found: F,
    tally: Tally,
}

impl<F: FnMut(&Difference) -> io::Result<()>> Told<F> {
    fn tell(&mut self, difference: Difference) -> io::Result<()> {
        let (count, fen) = &mut self.tally.kinds[difference.kind as usize];
        *count += 1;
        *fen += u64::from(difference.fen);
        (self.found)(&difference)
    }
}

/// All rows of one person and subsidy.
struct Person<'a> {
    key: u64,
    paid: &'a [Paid],
    listed: &'a [Listed],
    terms: &'a Terms,
}

impl Person<'_> {
    fn judge<F: FnMut(&Difference) -> io::Result<()>>(&self, told: &mut Told<F>) -> io::Result<()> {
        let own = |row: &&Listed| row.payer == 0 || row.payer == self.terms.province;
        let elsewhere = self.listed.iter().find(|row| !own(row) && row.status == ACTIVE);
        let mut homes = self.listed.iter().filter(own);
        let home = homes.next();
        for again in homes {
            told.tell(self.difference(Kind::ListedTwice, None, Some(again), 0))?;
        }
        let Some((first, more)) = self.paid.split_first() else {
            return self.judge_unpaid(home, elsewhere, told);
        };
        for again in more {
            told.tell(self.difference(Kind::PaidTwice, Some(again), home, again.amount))?;
        }
        let Some(record) = home.or(elsewhere).or_else(|| self.listed.first()) else {
            return told.tell(self.difference(Kind::NotListed, Some(first), None, first.amount));
        };
        let mut kinds = self.reasons(record);
        if elsewhere.is_some() {
            kinds |= bit(Kind::DrawnElsewhere);
        }
        let mut fen = first.amount;
        let wrong = Kind::ALL.iter().filter(|kind| kind.cover() == Cover::Wrong);
        if !wrong.into_iter().any(|kind| kinds & bit(*kind) != 0) {
            fen = first.amount.abs_diff(record.amount);
            kinds |= match first.amount.cmp(&record.amount) {
                std::cmp::Ordering::Greater => bit(Kind::PaidTooMuch),
                std::cmp::Ordering::Less => bit(Kind::PaidTooLittle),
                std::cmp::Ordering::Equal => 0,
            };
        }
        if first.name != 0 && record.name != 0 && first.name != record.name {
            kinds |= bit(Kind::NameDiffers);
        }
        let Some(kind) = Kind::ALL.iter().copied().find(|kind| kinds & bit(*kind) != 0) else {
            told.tally.agreed += 1;
            return Ok(());
        };
        if kind == Kind::Unclear {
            fen = first.amount;
        }
        let line = if kind == Kind::DrawnElsewhere { elsewhere } else { Some(record) };
        let difference = self.difference(kind, Some(first), line, fen);
        told.tell(Difference { others: kinds & !bit(kind), ..difference })
    }

    fn judge_unpaid<F: FnMut(&Difference) -> io::Result<()>>(
        &self,
        home: Option<&Listed>,
        elsewhere: Option<&Listed>,
        told: &mut Told<F>,
    ) -> io::Result<()> {
        let Some(home) = home.filter(|_| elsewhere.is_none()) else { return Ok(()) };
        let kinds = self.reasons(home);
        if kinds == 0 {
            let kind = if home.status == ACTIVE { Kind::NotPaid } else { Kind::NotApplied };
            return told.tell(self.difference(kind, None, Some(home), home.amount));
        }
        // Nothing speaks against it but what is not known.
        if kinds == bit(Kind::Unclear) {
            return told.tell(self.difference(Kind::Unclear, None, Some(home), home.amount));
        }
        Ok(())
    }

    fn difference(
        &self,
        kind: Kind,
        paid: Option<&Paid>,
        listed: Option<&Listed>,
        fen: u32,
    ) -> Difference {
        Difference {
            kind,
            others: 0,
            person: Number::of_key(self.key),
            nursing: self.nursing(),
            paid_line: paid.map(|row| row.line),
            listed_line: listed.map(|row| row.line),
            fen,
        }
    }

    const fn nursing(&self) -> bool {
        self.key % 2 == 1
    }

    /// What speaks against paying, a bit per kind. What has changed counts from the month after.
    fn reasons(&self, record: &Listed) -> u32 {
        let Terms { month, province, .. } = *self.terms;
        let mut kinds = 0;
        let mut say = |kind: Kind, is: bool| kinds |= if is { bit(kind) } else { 0 };
        let past = |when: Month| when < month;
        say(Kind::Dead, past(record.death));
        // A household that moves within the month is still paid for it.
        let away =
            record.household != province && (record.moved == Month::NEVER || past(record.moved));
        say(Kind::MovedOut, away);
        say(Kind::Tekun, record.tekun == Some(true));
        say(Kind::WorkInjury, record.work_injury == Some(true));
        say(Kind::Orphan, record.orphan == Some(true) && !self.nursing());
        say(Kind::CertificateExpired, record.valid.is_some_and(past));
        say(Kind::Ended, record.status > ACTIVE);
        let entitled = if self.nursing() { self.severe(record) } else { self.needy(record) };
        let lacking = if self.nursing() { Kind::LevelTooLow } else { Kind::NotNeedy };
        say(lacking, entitled == Some(false));
        let unclear = record.tekun.is_none()
            || record.work_injury.is_none()
            || (record.orphan.is_none() && !self.nursing())
            || record.valid.is_none()
            || entitled.is_none();
        say(Kind::Unclear, unclear);
        kinds
    }

    /// Level 1 or 2; a province may extend it for intellectual (5) and mental (6) disability.
    fn severe(&self, record: &Listed) -> Option<bool> {
        match (record.level, record.category) {
            (1 | 2, _) => Some(true),
            (0, _) => None,
            (level, _) if level > self.terms.nursing_extended => Some(false),
            (_, 0) => None,
            (_, category) => Some(matches!(category, 5 | 6)),
        }
    }

    fn needy(&self, record: &Listed) -> Option<bool> {
        record.hardship.map(|kind| self.terms.hardship.get(usize::from(kind)) == Some(&true))
    }
}
