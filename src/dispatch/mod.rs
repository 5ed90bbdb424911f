//! The only way out: leases due deliveries, has the partner translate, seal and send them, and
//! settles. At least once towards the receiver, in order per application; asks before it repeats
//! what may have arrived. No transaction is open during a call. Depends on translate and store.

mod books;
mod clocks;
mod link;
mod partner;
mod schedule;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use crate::dispatch::books::{Books, Correspondent, HeldMessage, SubmittedBook};
pub(crate) use crate::dispatch::link::Link;
#[cfg(test)]
pub(crate) use crate::dispatch::link::{Call, Failure, Reply, Simulated};
use crate::{
    breaker::{Admission, Breaker},
    config::{Config, Dispatch as Settings, Party},
    dispatch::partner::{Outcome, Partner},
    failpoint::{self, Step},
    model::{clock, fault::Fault},
    store::{
        Store, StoreError,
        rows::{Lease, Settlement},
    },
    telemetry::{
        self,
        load::{self, Gauge, PartyLevel},
    },
    translate::Translator,
};

/// Most deliveries leased in one transaction.
const LEASE_PAGE: usize = 64;
/// How long a lane lets news gather before it looks: under load every commit brings some.
const GATHER: Duration = Duration::from_millis(2);
/// How long giving leases back may take: one commit of the store.
const GIVING_BACK: Duration = Duration::from_secs(4);
/// How long an idle party waits before it looks again, for deliveries that fall due by time.
const IDLE: Duration = Duration::from_millis(200);

/// Makes the link to a party.
type LinkTo<'a> = &'a dyn Fn(&Party) -> Result<Link, Vec<Fault>>;

/// The running dispatch.
pub struct Dispatch {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cuts attempts off; their leases are given back.
    give_back: CancellationToken,
}

/// What one party's deliveries share.
struct Lane {
    store: Arc<dyn Store>,
    settings: Settings,
    partner: Partner,
    breaker: Breaker,
    room: Arc<Semaphore>,
    give_back: CancellationToken,
    chance: fn() -> f64,
    in_progress: Gauge,
}

impl Dispatch {
    /// Starts one lane per party that takes deliveries.
    ///
    /// # Errors
    /// What is wrong with a party's endpoint, key or certificates.
    pub fn start(
        config: &Config,
        store: &Arc<dyn Store>,
        translator: &Arc<Translator>,
    ) -> Result<Self, Vec<Fault>> {
        let link = |party: &Party| Link::https(config, party);
        Self::start_over(config, store, translator, (&link, chance))
    }

    /// The same over other links, and with a chance (from 0 to 1) of its own.
    pub(crate) fn start_over(
        config: &Config,
        store: &Arc<dyn Store>,
        translator: &Arc<Translator>,
        (link, chance): (LinkTo<'_>, fn() -> f64),
    ) -> Result<Self, Vec<Fault>> {
        let mut lanes = Vec::new();
        let mut faults = Vec::new();
        let give_back = CancellationToken::new();
        for party in config.parties.values() {
            let Some(delivery) = party.entry.delivery.clone() else { continue };
            let partner = link(party)
                .and_then(|link| Partner::new(config, party, translator, (delivery, link)));
            match partner {
                Ok(partner) => lanes.push(Lane {
                    in_progress: load::of_party(PartyLevel::Deliveries, partner.code()),
                    store: Arc::clone(store),
                    settings: config.dispatch.clone(),
                    partner,
                    breaker: Breaker::new(
                        config.dispatch.breaker_failures,
                        Duration::from_millis(config.dispatch.breaker_open_ms),
                        Duration::from_millis(config.dispatch.lease_ms),
                    ),
                    room: Arc::new(Semaphore::new(config.dispatch.in_flight)),
                    give_back: give_back.clone(),
                    chance,
                }),
                Err(more) => faults.extend(more),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        for lane in lanes {
            tasks.spawn(Arc::new(lane).run(tasks.clone(), stop.clone()));
        }
        tasks.spawn(clocks::run(Arc::clone(store), stop.clone()));
        tasks.close();
        Ok(Self { tasks, stop, give_back })
    }

    /// Leases nothing more and waits for the attempts in progress. What has not ended by then is
    /// given back: whoever comes next asks the receiver, and need not wait for the lease to end.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.give_back.cancel();
        if tokio::time::timeout(GIVING_BACK, self.tasks.wait()).await.is_err() {
            tracing::warn!("stopped with deliveries in progress; their leases will expire");
        }
    }
}

impl Lane {
    async fn run(self: Arc<Self>, tasks: TaskTracker, stop: CancellationToken) {
        let mut changes = self.store.changes();
        loop {
            changes.borrow_and_update();
            let leased = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Not dropped half-way: what the store has leased is attempted or given back.
                room = Arc::clone(&self.room).acquire_owned() => self.lease(room).await,
            };
            let wait = match leased {
                Ok(leases) if leases.is_empty() => IDLE,
                Ok(leases) => {
                    for (lease, ends, permit) in leases {
                        let lane = Arc::clone(&self);
                        tasks.spawn(async move {
                            let _counted = lane.in_progress.count();
                            lane.attempt(lease, ends).await;
                            drop(permit);
                        });
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!(party.code = self.partner.code(), %error, "cannot lease");
                    Duration::from_secs(1)
                }
            };
            let wait =
                self.refused_for().map_or(wait, |refused| refused.max(Duration::from_millis(1)));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = changes.changed(), if self.refused_for().is_none() => {
                    tokio::time::sleep(GATHER).await;
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Leases as many as there is room for and the breaker admits, and says when the leases end.
    /// Room comes first: a lease must not wait for it while it runs out.
    async fn lease(
        &self,
        first: Result<OwnedSemaphorePermit, AcquireError>,
    ) -> Result<Vec<(Lease, Instant, OwnedSemaphorePermit)>, StoreError> {
        let Ok(first) = first else { return Ok(Vec::new()) };
        let most = match self.breaker.admit(now()) {
            Admission::NotBefore(_) => return Ok(Vec::new()),
            Admission::Probe => 1,
            Admission::Any => LEASE_PAGE,
        };
        let mut permits = vec![first];
        while permits.len() < most
            && let Ok(permit) = Arc::clone(&self.room).try_acquire_owned()
        {
            permits.push(permit);
        }
        let length = i64::try_from(self.settings.lease_ms).unwrap_or(i64::MAX / 2000) * 1000;
        let ends = now() + Duration::from_millis(self.settings.lease_ms);
        let until = clock::now_micros() + length;
        let leased = self.store.lease(self.partner.code(), permits.len(), until);
        let leased = failpoint::at(Step::Lease, StoreError::Unavailable, leased).await;
        if most == 1 && !leased.as_ref().is_ok_and(|leases| !leases.is_empty()) {
            self.breaker.probe_unused(now());
        }
        Ok(leased?.into_iter().zip(permits).map(|(lease, permit)| (lease, ends, permit)).collect())
    }

    fn refused_for(&self) -> Option<Duration> {
        self.breaker.refused_for(now())
    }

    async fn attempt(&self, lease: Lease, ends: Instant) {
        let mut span = telemetry::span("deliver", telemetry::Kind::Client, &lease.trace());
        span.set("application.id", lease.application().id.clone());
        span.set("party.code", lease.party().to_owned());
        span.set("attempt.number", i64::from(lease.attempt()));
        span.set("message.kind", lease.kind().word());
        let began = now();
        let trace = span.context();
        let delivering = self.partner.deliver(&lease, ends, &trace);
        let Some(outcome) = self.give_back.run_until_cancelled(delivering).await else {
            return self.settle(lease, given_back()).await;
        };
        let settlement = self.settlement(&lease, &outcome);
        self.report(&lease, &outcome, &settlement, began);
        span.set("outcome", outcome.word());
        if !matches!(outcome, Outcome::Delivered) {
            span.fail(outcome.word());
        }
        drop(span);
        self.settle(lease, settlement).await;
    }

    async fn settle(&self, lease: Lease, settlement: Settlement) {
        let (delivery, party) = (lease.delivery(), lease.party().to_owned());
        let settled = self.store.settle(lease, settlement);
        let settled = failpoint::at(Step::Settle, StoreError::Unavailable, settled).await;
        if let Err(error) = settled {
            // Nothing is lost: the lease expires and the receiver is asked.
            tracing::error!(delivery, party.code = party, %error, "cannot settle");
        }
    }

    fn settlement(&self, lease: &Lease, outcome: &Outcome) -> Settlement {
        let (unknown, asked, note) = match outcome {
            Outcome::Delivered => return Settlement::Delivered,
            Outcome::Refused { note } => return Settlement::Refused { note: note.clone() },
            Outcome::Again { after, note } => (lease.unknown(), *after, note),
            Outcome::Unknown { note } => (true, None, note),
        };
        if lease.attempt() >= self.settings.attempts {
            return Settlement::Parked { unknown, note: note.clone() };
        }
        let own = schedule::wait(&self.settings, lease.attempt(), (self.chance)());
        let wait = asked.map_or(own, |asked| schedule::heed(&self.settings, own, asked));
        let due = clock::now_micros() + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 2);
        Settlement::Again { due, unknown, counted: true, note: note.clone() }
    }

    fn report(&self, lease: &Lease, outcome: &Outcome, settlement: &Settlement, began: Instant) {
        match outcome {
            Outcome::Unknown { .. } | Outcome::Again { after: None, .. } => {
                if self.breaker.failed(began, now()) {
                    tracing::warn!(party.code = lease.party(), "party does not answer; pausing");
                }
            }
            Outcome::Delivered | Outcome::Refused { .. } | Outcome::Again { .. } => {
                self.breaker.succeeded();
            }
        }
        telemetry::count_delivery(lease.party(), outcome.word());
        let parked = matches!(settlement, Settlement::Parked { .. } | Settlement::Refused { .. });
        let note = outcome.note();
        let trace_id = lease.trace().trace_id_hex();
        let duration_ms = u64::try_from((now() - began).as_millis()).unwrap_or(u64::MAX);
        if parked {
            tracing::error!(
                delivery = lease.delivery(),
                application.id = lease.application().id,
                party.code = lease.party(),
                attempt.number = lease.attempt(),
                trace.id = trace_id,
                note,
                "delivery parked; see `tongban deliveries list`"
            );
        } else {
            tracing::debug!(
                delivery = lease.delivery(),
                application.id = lease.application().id,
                party.code = lease.party(),
                attempt.number = lease.attempt(),
                trace.id = trace_id,
                outcome = outcome.word(),
                note,
                duration_ms,
                "delivery attempted"
            );
        }
    }
}

/// The end of an attempt that was cut off because the gateway stops; it may have arrived.
fn given_back() -> Settlement {
    let note = "the gateway stopped".into();
    Settlement::Again { due: clock::now_micros(), unknown: true, counted: false, note }
}

/// The moment by the runtime's clock, which a simulation holds.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A number from 0 to 1, for jitter.
fn chance() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}
