//! What becomes of each request of a batch, decided in memory over what was read: pure, so that it
//! can be done again from the beginning when something was lacking. Later requests see what earlier
//! ones did. Calls the same rules as every store (`store::advance`, `store::take`); knows no SQL.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    model::{
        clock,
        lifecycle::{self, Step},
        pb::{self, EventType},
    },
    store::{
        StoreError, Terms,
        advance::{self, By, Open},
        by_hand::ByHand,
        holding::{self, Benefit, Holding},
        likeness,
        postgres::{
            loaded::{Lack, Loaded, Short, Used},
            writer::{Item, Outcome, Request},
            writes::{Fresh, Moved, NewKey, Writes},
        },
        record::{ApplicationRow, NewDelivery, NewEvent, Prepared, seal},
        rows::{
            Accepted, Applied, Change, IdempotencyKey, Lease, NewApplication, Recalled, Refusal,
            Settlement,
        },
        take::{self, SAYINGS},
        vault::Vault,
    },
};

/// Why a request was not decided.
pub(super) enum Stop {
    /// Something must be read first.
    Lack(Lack),
    /// It fails, and no other with it.
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Decides every request, in order; or says which one stopped and why.
pub(super) fn decide(
    items: &[Item],
    loaded: &Loaded,
    (vault, terms): (&Vault, &Terms),
) -> Result<(Vec<Outcome>, Writes), (usize, Stop)> {
    let mut batch = Batch {
        loaded,
        vault,
        terms,
        numbers: loaded.numbers.iter(),
        keys: HashMap::new(),
        fresh: HashMap::new(),
        told: HashSet::new(),
        writes: Writes::default(),
    };
    let outcomes = items
        .iter()
        .enumerate()
        .map(|(at, item)| batch.request(&item.request).map_err(|stop| (at, stop)));
    let outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
    Ok((outcomes, batch.writes))
}

struct Batch<'a> {
    loaded: &'a Loaded,
    vault: &'a Vault,
    terms: &'a Terms,
    numbers: std::slice::Iter<'a, i64>,
    /// Keys used in this batch.
    keys: HashMap<[u8; 32], Used>,
    /// Where in `writes.fresh` an application of this batch stands.
    fresh: HashMap<Short, usize>,
    told: HashSet<Short>,
    writes: Writes,
}

impl Batch<'_> {
    fn request(&mut self, request: &Request) -> Result<Outcome, Stop> {
        match request {
            Request::Accept(prepared) => self.accept(prepared),
            Request::Apply(change) => self.apply(change).map(Outcome::Applied),
            Request::Record(leaf) => {
                self.writes.leaves.push(leaf.clone());
                Ok(Outcome::Done)
            }
            Request::Settle(lease, settlement) => self.settle(lease, settlement),
            Request::Strike(now, _) => self.strike(*now),
            Request::ByHand(act, _) => Ok(self.by_hand(act)),
        }
    }

    fn accept(&mut self, prepared: &Arc<Prepared>) -> Result<Outcome, Stop> {
        let new = &prepared.new;
        match self.recall(&new.key)? {
            Some(Recalled::Answer(first)) => {
                return Ok(Outcome::Accepted(Accepted::Replayed(first)));
            }
            Some(Recalled::KeyReused) => return Ok(Outcome::Accepted(Accepted::KeyReused)),
            None => {}
        }
        let holders = new.benefits.iter().map(|benefit| self.holder(benefit));
        let holders = holders.collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = holders.iter().find_map(|holder| *holder) {
            let held = new.benefits.iter().zip(holders).filter(|(_, holder)| holder.is_some());
            let held = held.map(|(benefit, _)| *benefit).collect();
            return self.duplicate(first, held, new.now).map(Outcome::Accepted);
        }
        let like = self.like(new)?;
        let asked = likeness::asked(new, like.iter().map(|row| row.id), self.vault)?;
        let Some(number) = self.numbers.next().copied() else {
            return Err(StoreError::Corrupt("fewer numbers than applications".into()).into());
        };
        let (id, application) = (*new.id.as_bytes(), &new.application);
        self.writes.events.push(NewEvent {
            application: number,
            sequence: 1,
            r#type: EventType::ApplicationReceived,
            state: application.state(),
            party: application.submitting_party.clone(),
            time: new.now,
            detail: None,
        });
        if let Some(receiver) = prepared.receiver(self.terms) {
            self.writes.deliveries.push(NewDelivery::first(number, new, receiver));
        }
        let answer = asked.as_ref().map(|asked| asked.answer.clone());
        self.remember(&new.key, (number, id), new.now, answer);
        self.writes.leaves.push(prepared.leaf.clone());
        let held = new.benefits.iter().map(|benefit| (*benefit, Some(id)));
        self.writes.holders.extend(held);
        self.fresh.insert(id, self.writes.fresh.len());
        let kept = asked.as_ref().map(|asked| asked.kept.clone());
        self.writes.fresh.push(Fresh { number, prepared: Arc::clone(prepared), kept });
        self.writes.news = true;
        for mut earlier in like {
            if likeness::note(&mut earlier, new.id, self.vault)? {
                self.writes.changed.insert(earlier.id, earlier);
            }
        }
        Ok(asked.map_or(Outcome::New, |asked| Outcome::Accepted(Accepted::New(asked.application))))
    }

    /// The open and paid applications that a new one is like, the oldest first.
    fn like(&self, new: &NewApplication) -> Result<Vec<ApplicationRow>, Stop> {
        let Some(likeness) = &new.likeness else { return Ok(Vec::new()) };
        let like = self.loaded.alike.like(likeness, &self.writes.fresh).into_iter();
        let rows = like.map(|id| self.row(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().flatten().filter(|row| row.open != Open::Closed).collect())
    }

    fn apply(&mut self, change: &Change) -> Result<Applied, Stop> {
        match self.recall(&change.key)? {
            Some(Recalled::Answer(first)) => return Ok(Applied::Replayed(first)),
            Some(Recalled::KeyReused) => return Ok(Applied::KeyReused),
            None => {}
        }
        let Some(mut row) = self.row(*change.id.as_bytes())? else {
            return Ok(Applied::Refused(Refusal::NotFound));
        };
        // A limit that has run out speaks first: what comes after midnight is late, whether or
        // not the clocks have been looked at since.
        if row.wake.is_some_and(|wake| wake <= change.now) {
            self.strike_one(&mut row, change.now)?;
        }
        let step = match advance::step(row.standing(), &change.event, change.expected_version) {
            Ok(step) => step,
            Err(refusal) => return Ok(Applied::Refused(refusal)),
        };
        let touched = holding::touched(&row, step, &change.event, self.vault)?;
        let holders = self.holders(&touched)?;
        let means = (self.vault, self.terms);
        if let Some(refusal) = holding::refusal(&row, &change.event, &holders, means)? {
            return Ok(Applied::Refused(refusal));
        }
        let by = By { party: &change.party, system: &change.system, time: change.now };
        let application = self.take(&mut row, step, &change.event, by)?;
        let answer = seal(self.vault, &row.id, "answer", &application)?;
        self.remember(&change.key, (row.seq, row.id), change.now, Some(answer));
        Ok(Applied::Done(Box::new(application)))
    }

    fn settle(&mut self, lease: &Lease, settlement: &Settlement) -> Result<Outcome, Stop> {
        if !self.loaded.settled.contains(&(lease.delivery, lease.fence)) {
            return Ok(Outcome::Done); // The lease had expired; whoever holds it now asks.
        }
        let now = clock::now_micros();
        let ended = take::ended(lease, settlement);
        self.writes.news = true; // What waited behind it in the application's order may go.
        let Some(what) = ended.what else { return Ok(Outcome::Done) };
        self.writes.leaves.push(take::ended_leaf(lease, what, now));
        self.writes.moved.push((lease.party.clone(), Moved::ended(ended.state)));
        let row = self.row(*lease.id()?.as_bytes())?;
        let mut row =
            row.ok_or_else(|| StoreError::Corrupt("a delivery without application".into()))?;
        self.writes.order.insert((row.seq, lease.party.clone()));
        let Some(r#type) = ended.step else { return Ok(Outcome::Done) };
        let event = pb::ApplicationEvent { r#type: r#type as i32, ..Default::default() };
        // No step: the handling side was quicker than our record, or it was withdrawn meanwhile.
        if let Ok(step) = advance::step(row.standing(), &event, 0) {
            self.take(&mut row, step, &event, By::gateway(now))?;
        }
        Ok(Outcome::Done)
    }

    fn strike(&mut self, now: i64) -> Result<Outcome, Stop> {
        for id in &self.loaded.due {
            if let Some(mut row) = self.row(*id)? {
                self.strike_one(&mut row, now)?;
            }
        }
        Ok(Outcome::Count(self.loaded.due.len()))
    }

    fn strike_one(&mut self, row: &mut ApplicationRow, now: i64) -> Result<(), Stop> {
        for _ in 0..SAYINGS {
            let said = take::strike(row, now, (self.vault, self.terms))?;
            self.writes.changed.insert(row.id, row.clone());
            let Some(event) = said else { return Ok(()) };
            self.writes.said.push((row.clone(), event.clone()));
            if let Ok(step) = advance::step(row.standing(), &event, 0) {
                self.take(row, step, &event, By::gateway(now))?;
            }
        }
        Ok(())
    }

    /// What operations did with deliveries, each with its leaf.
    fn by_hand(&mut self, act: &ByHand) -> Outcome {
        let now = clock::now_micros();
        for (delivery, order) in &self.loaded.by_hand {
            self.writes.news = true;
            self.writes.leaves.push(act.leaf(*delivery, now));
            self.writes.moved.push((order.1.clone(), Moved::by_hand(act)));
            self.writes.order.insert(order.clone());
        }
        Outcome::Count(self.loaded.by_hand.len())
    }

    /// Takes the step; returns the application.
    fn take(
        &mut self,
        row: &mut ApplicationRow,
        step: Step,
        cause: &pb::ApplicationEvent,
        by: By<'_>,
    ) -> Result<pb::Application, Stop> {
        let taken = take::take(row, step, cause, by, (self.vault, self.terms))?;
        if taken.revised {
            self.writes.revised.insert(row.id);
        }
        self.writes.changed.insert(row.id, row.clone());
        self.writes.events.push(taken.event);
        self.writes.leaves.push(taken.leaf);
        for delivery in taken.deliveries {
            self.writes.order.insert((delivery.application, delivery.party.clone()));
            self.writes.deliveries.push(delivery);
        }
        if let Some(holding) = &taken.holding {
            self.hold(row, holding, by.time)?;
        }
        self.writes.news = true;
        Ok(taken.application)
    }

    fn hold(&mut self, row: &ApplicationRow, holding: &Holding, now: i64) -> Result<(), Stop> {
        if let Some(taking) = &holding.taken {
            for mut before in self.holders(taking.benefits())? {
                let (gone, notice) = holding::lose(&mut before, taking);
                self.writes.holders.extend(gone.iter().map(|benefit| (*benefit, None)));
                self.writes.changed.insert(before.id, before.clone());
                if let Some((step, event)) = notice {
                    self.take(&mut before, step, &event, By::gateway(now))?;
                }
            }
        }
        let freed = holding.freed.iter().map(|benefit| (*benefit, None));
        self.writes.holders.extend(freed);
        let held = holding.held.iter().map(|benefit| (*benefit, Some(row.id)));
        self.writes.holders.extend(held);
        Ok(())
    }

    /// The applications that hold one of the benefits.
    fn holders(&self, benefits: &[Benefit]) -> Result<Vec<ApplicationRow>, Stop> {
        let ids = benefits.iter().map(|benefit| self.holder(benefit));
        let ids: BTreeSet<Option<Short>> = ids.collect::<Result<_, _>>()?;
        let rows = ids.into_iter().flatten().map(|id| {
            let row = self.row(id)?;
            row.ok_or_else(|| StoreError::Corrupt("a benefit held by no application".into()).into())
        });
        rows.collect()
    }

    /// A second application is refused, and both sides of the first are told so, once: that
    /// somebody asked again, not who or where.
    fn duplicate(&mut self, first: Short, held: Vec<Benefit>, now: i64) -> Result<Accepted, Stop> {
        let row = self.row(first)?;
        let mut row =
            row.ok_or_else(|| StoreError::Corrupt("a benefit held by no application".into()))?;
        let paid = row.open == Open::Paid;
        if !self.loaded.told.contains(&first) && self.told.insert(first) {
            let refused = EventType::DuplicateRefused;
            let event = pb::ApplicationEvent { r#type: refused as i32, ..Default::default() };
            let step = lifecycle::notice(row.state, refused);
            self.take(&mut row, step, &event, By::gateway(now))?;
        }
        Ok(Accepted::Duplicate { first: uuid::Uuid::from_bytes(first), paid, held })
    }

    fn holder(&self, benefit: &Short) -> Result<Option<Short>, Stop> {
        if let Some(holder) = self.writes.holders.get(benefit) {
            return Ok(*holder);
        }
        let known = self.loaded.holders.get(benefit);
        known.copied().ok_or(Stop::Lack(Lack::Holder(*benefit)))
    }

    /// The application as this batch has made it.
    fn row(&self, id: Short) -> Result<Option<ApplicationRow>, Stop> {
        if let Some(row) = self.writes.changed.get(&id) {
            return Ok(Some(row.clone()));
        }
        if let Some(fresh) = self.fresh.get(&id).and_then(|at| self.writes.fresh.get(*at)) {
            return Ok(Some(fresh.prepared.row(fresh.number, fresh.kept.clone())));
        }
        let known = self.loaded.rows.get(&id);
        known.cloned().ok_or(Stop::Lack(Lack::Row(id)))
    }

    fn recall(&self, key: &IdempotencyKey) -> Result<Option<Recalled>, Stop> {
        let used = self.keys.get(&key.key).or_else(|| self.loaded.keys.get(&key.key));
        let Some(used) = used else { return Ok(None) };
        if used.content != key.content {
            return Ok(Some(Recalled::KeyReused));
        }
        let row = self.row(used.application)?;
        let row = row.ok_or_else(|| StoreError::Corrupt("a key without application".into()))?;
        let first = row.answer(used.answer.as_deref(), self.vault)?;
        Ok(Some(Recalled::Answer(Box::new(first))))
    }

    fn remember(
        &mut self,
        key: &IdempotencyKey,
        (number, id): (i64, Short),
        now: i64,
        answer: Option<Vec<u8>>,
    ) {
        let used = Used { content: key.content, application: id, answer: answer.clone() };
        self.keys.insert(key.key, used);
        self.writes.keys.push(NewKey { key: *key, application: number, created: now, answer });
    }
}
