//! The windows where citizens hand in: submit until they are answered, hand in again, supplement,
//! withdraw; and the watchers who follow what happens to a party's applications.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use jiff::civil::Date;
use tokio::time::sleep;

use crate::{
    intake::Change,
    model::{
        pb::{self, EventType},
        problem::Reason,
        trace::TraceContext,
    },
    simulation::{
        books::{Made, Seen, Submission, Told},
        held,
        office::{insist, told, understood},
        papers,
        random::{below, millis, percent, pick},
        world::{PARTIES, World, caller},
    },
};

/// What ends a case for its submitting side.
const OVER: [EventType; 3] =
    [EventType::DecisionMade, EventType::ApplicationExpired, EventType::ApplicationWithdrawn];

/// One citizen's business at a window.
#[derive(Clone)]
struct Visit {
    world: Arc<World>,
    party: &'static str,
    number: String,
    person: u64,
}

/// Some citizens come, a few of them more than once and to more than one window.
pub(super) fn open(world: &Arc<World>) {
    let people = 2 + below(6);
    for n in 0..4 + below(7) {
        let party = pick(&PARTIES);
        let number = format!("case-{n}");
        let visit = Visit { world: Arc::clone(world), party, number, person: below(people) };
        world.spawn(visit.come());
    }
}

impl Visit {
    async fn come(self) {
        sleep(millis(0, 8000)).await;
        let paper = self.paper();
        let key = format!("key-{}", self.number);
        let Told::Taken(application) = self.submit(&key, &paper).await else { return };
        if percent(20) {
            sleep(millis(0, 4000)).await;
            self.submit(&key, &paper).await;
        }
        if percent(10) {
            let other = papers::paper(99);
            let materials = vec![other];
            let changed = Box::new(pb::Application { materials, ..*paper.clone() });
            let refused = self.hand_in(&key, &changed).await;
            if refused != Told::Refused(Reason::IdempotencyKeyReused) {
                self.world.fault(format!("{}: other content under a used key", self.number));
            }
        }
        if percent(20) {
            let visit = self.clone();
            let id = application.id.clone();
            self.world.spawn(async move {
                sleep(millis(0, 6000)).await;
                let reason = "不再申请".to_owned();
                let request = pb::WithdrawApplicationRequest { id, reason, ..Default::default() };
                visit.change(EventType::ApplicationWithdrawn, Change::Withdraw(request)).await;
            });
        }
        self.follow(&application.id, papers::taken_in_on(&paper)).await;
    }

    fn paper(&self) -> Box<pb::Application> {
        let taken_in = match self.party {
            "44" => "440106",
            "23" => "230103",
            _ => "510104",
        };
        if percent(25) && self.party != "national" {
            return Box::new(papers::marriage(&self.number, self.person, taken_in));
        }
        // Residents of another province: their party handles it, or the national hub.
        let homes: &[&str] = match self.party {
            "44" => &["230103", "510104"],
            "23" => &["440106", "510104"],
            _ => &["230103", "440106"],
        };
        Box::new(papers::subsidy(&self.number, self.person, taken_in, pick(homes)))
    }

    async fn submit(&self, key: &str, paper: &pb::Application) -> Told {
        let told = self.hand_in(key, paper).await;
        let submission = Submission {
            party: self.party,
            number: self.number.clone(),
            key: key.to_owned(),
            person: self.person,
            told: told.clone(),
            as_of: held::last_event(&self.world),
        };
        self.world.with(|state| state.books.submissions.push(submission));
        told
    }

    async fn hand_in(&self, key: &str, paper: &pb::Application) -> Told {
        let who = format!("{} {} submitted", self.party, self.number);
        insist(&self.world, &who, |intake| {
            let (party, key, paper) = (self.party, key.to_owned(), Box::new(paper.clone()));
            async move {
                let answer = intake.submit(&caller(party), &key, paper, TraceContext::new()).await;
                told(answer.map(|answer| answer.application))
            }
            .boxed()
        })
        .await
    }

    /// Does what the handling side asks for, until it is over.
    async fn follow(&self, id: &str, taken_in: Date) {
        let mut supplemented = percent(30);
        loop {
            if self.knows(&OVER) {
                return;
            }
            if self.knows(&[EventType::SupplementRequested]) && !supplemented {
                supplemented = true;
                sleep(millis(0, 1500)).await;
                let request = pb::SupplementApplicationRequest {
                    id: id.to_owned(),
                    materials: vec![papers::paper(7)],
                    ..Default::default()
                };
                self.change(EventType::SupplementSubmitted, Change::Supplement(request)).await;
            }
            if self.knows(&[EventType::CheckPassed]) {
                sleep(millis(0, 1500)).await;
                let decision = Some(papers::registered(percent(70), taken_in));
                let id = id.to_owned();
                let request = pb::DecideApplicationRequest { id, decision, expected_version: 0 };
                let decide = Change::Decide(Box::new(request));
                return self.change(EventType::DecisionMade, decide).await;
            }
            if self.withdrawn(id) {
                return;
            }
            sleep(Duration::from_millis(400)).await;
        }
    }

    fn knows(&self, events: &[EventType]) -> bool {
        let told = |e: &EventType| events.contains(e);
        self.world.with(|s| s.books.case(self.party, &self.number).told.iter().any(told))
    }

    fn withdrawn(&self, id: &str) -> bool {
        let withdrawal = |made: &Made| {
            made.application == id
                && made.event == EventType::ApplicationWithdrawn
                && matches!(made.told, Told::Taken(_))
        };
        self.world.with(|state| state.books.made.iter().any(withdrawal))
    }

    async fn change(&self, event: EventType, change: Change) {
        let key = format!("{}-{}", self.number, event.as_str_name());
        let who = format!("{} {} {}", self.party, self.number, event.as_str_name());
        let id = match &change {
            Change::Supplement(request) => request.id.clone(),
            Change::Withdraw(request) => request.id.clone(),
            Change::Decide(request) => request.id.clone(),
            Change::Accept(_) | Change::RequestSupplement(_) => String::new(),
        };
        let told = insist(&self.world, &who, |intake| {
            let (party, key, change) = (self.party, key.clone(), change.clone());
            async move {
                let answer = intake.change(&caller(party), &key, change, TraceContext::new()).await;
                told(answer.map(|answer| answer.application))
            }
            .boxed()
        })
        .await;
        understood(&self.world, &who, &told);
        let made = Made { party: self.party, application: id, event, told };
        self.world.with(|state| state.books.made.push(made));
    }
}

impl World {
    /// A watcher for each party; goes on after the last event it has seen.
    pub(super) fn watch(self: &Arc<Self>) {
        for party in PARTIES {
            let world = Arc::clone(self);
            self.attach(move |intake| {
                async move {
                    loop {
                        let seen = |state: &mut crate::simulation::world::State| {
                            let seen = state.books.watched.entry(party).or_default();
                            seen.last().map_or(0, |last| last.0)
                        };
                        let after = world.with(seen).to_string();
                        let events = intake.watch(&caller(party), &after).ok().unwrap();
                        let mut events = std::pin::pin!(events);
                        while let Some(Ok(event)) = events.next().await {
                            let seen: Seen =
                                (event.id.parse().unwrap(), event.application_id, event.r#type);
                            world.with(|state| {
                                state.books.watched.entry(party).or_default().push(seen);
                            });
                        }
                        sleep(Duration::from_millis(300)).await;
                    }
                }
                .boxed()
            });
        }
    }
}
