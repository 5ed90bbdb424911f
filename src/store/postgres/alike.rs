//! Who is like a new application: the turns that those wait for who may be alike, what is read once
//! a turn has come, and what the batch at hand adds to it. SQL, but no rule of the business.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::store::{
    likeness::{self, Likeness},
    postgres::{
        connection::Trouble,
        loaded::{Short, Step, array, bytes},
        writes::Fresh,
    },
};

/// What a batch knows of likenesses.
#[derive(Default)]
pub(super) struct Alike {
    /// The digests under which new ones have their turn, until the end.
    turns: BTreeSet<Short>,
    /// What the new ones are like.
    sought: BTreeSet<Short>,
    /// Open and paid applications that new ones may be like, the oldest first.
    known: Vec<Known>,
}

struct Known {
    /// Under what it is found.
    own: Short,
    id: Short,
    benefits: Vec<u8>,
}

impl Alike {
    /// Takes note of a new application.
    pub(super) fn expect(&mut self, likeness: &Likeness) {
        self.turns.insert(likeness.own);
        self.turns.extend(&likeness.sought);
        self.sought.extend(&likeness.sought);
    }

    /// Takes the turns, as the first that the transaction does (who waits for a turn must not hold
    /// what others wait for), and reads behind them; nothing when there is nobody to be like.
    pub(super) fn steps(&self) -> Option<[Step; 2]> {
        let digests = |of: &BTreeSet<Short>| bytes(&of.iter().copied().collect::<Vec<_>>());
        let take = (TURNS, vec![Box::new(digests(&self.turns)) as _]);
        let read = (ALIKE, vec![Box::new(digests(&self.sought)) as _]);
        (!self.turns.is_empty()).then_some([take, read])
    }

    /// Takes note of what was read.
    pub(super) fn note(&mut self, rows: &[Row]) -> Result<(), Trouble> {
        for row in rows {
            let id = *row.try_get::<_, Uuid>(1)?.as_bytes();
            self.known.push(Known { own: array(row, 0)?, id, benefits: row.try_get(2)? });
        }
        Ok(())
    }

    /// The applications that were read.
    pub(super) fn ids(&self) -> impl Iterator<Item = Short> + '_ {
        self.known.iter().map(|known| known.id)
    }

    /// The digests whose turn ends with the transaction.
    pub(super) fn turns(&self) -> Vec<&[u8]> {
        self.turns.iter().map(|turn| &turn[..]).collect()
    }

    /// Which applications a new one is like, the oldest first, those of its own batch last.
    pub(super) fn like(&self, new: &Likeness, batch: &[Fresh]) -> Vec<Short> {
        let known = self.known.iter().map(|one| (one.own, one.id, &one.benefits[..]));
        let known = known.filter(|(_, _, benefits)| !likeness::is_same(new, benefits));
        let fresh = batch.iter().filter_map(|fresh| {
            let earlier = &fresh.prepared.new;
            let is_same = earlier.benefits.iter().any(|held| new.same.contains(held));
            let found = earlier.likeness.as_ref().filter(|_| !is_same)?;
            Some((found.own, *earlier.id.as_bytes()))
        });
        let all = known.map(|(own, id, _)| (own, id)).chain(fresh);
        let like = all.filter(|(own, _)| new.sought.contains(own));
        like.take(likeness::MOST).map(|(_, id)| id).collect()
    }
}

/// Waits for whoever has one of them, until its commit.
const TURNS: &str = "INSERT INTO turns (alike) SELECT n.alike FROM unnest($1::bytea[]) AS n(alike) ORDER BY n.alike";
pub(super) const END_TURNS: &str = "DELETE FROM turns WHERE alike = ANY($1)";
const ALIKE: &str = "SELECT a.alike, a.id, a.benefits FROM unnest($1::bytea[]) AS n(alike) \
     CROSS JOIN LATERAL (SELECT o.alike, o.id, o.benefits, o.seq FROM applications o \
       WHERE o.alike = n.alike AND o.alike IS NOT NULL AND o.open > 0 ORDER BY o.seq LIMIT 16) a \
     ORDER BY a.seq";
