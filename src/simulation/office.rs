//! The office that handles what a party received: takes it up, may ask for papers, decides. It
//! reports each step until it has an answer, and does not always keep the order.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::civil::Date;
use tokio::time::sleep;

use crate::{
    intake::{Change, Intake},
    model::{
        pb::{self, Business, EventType},
        problem::{Problem, Reason},
        trace::TraceContext,
    },
    simulation::{
        books::{Made, Told},
        papers,
        random::{millis, percent},
        world::{World, caller},
    },
    translate::{Head, Kind},
};

/// What ends a case for its handling side.
const OVER: [EventType; 2] = [EventType::ApplicationWithdrawn, EventType::ApplicationExpired];

/// A case at its office.
#[derive(Clone)]
struct Desk {
    world: Arc<World>,
    party: &'static str,
    number: String,
    application: String,
    business: Business,
    taken_in: Date,
}

/// Opens a case.
pub(super) fn open(
    world: &Arc<World>,
    party: &'static str,
    (number, application): (String, String),
    (business, taken_in): (Business, Date),
) {
    let world_of = Arc::clone(world);
    let desk = Desk { world: world_of, party, number, application, business, taken_in };
    match business {
        Business::MarriageRegistration => world.spawn(desk.check()),
        _ => world.spawn(desk.handle()),
    }
}

impl Desk {
    /// A couple is looked up in the library.
    async fn check(self) {
        sleep(millis(0, 2000)).await;
        self.report(event(EventType::CheckPassed)).await;
    }

    async fn handle(self) {
        sleep(millis(0, 2000)).await;
        let accepted = event(EventType::ApplicationAccepted);
        if percent(10) {
            // The decision overtakes its own acceptance; the office sends it again then.
            let early = self.clone();
            self.world.spawn(async move { early.report(accepted).await });
            sleep(millis(0, 200)).await;
        } else {
            self.report(accepted).await;
        }
        if percent(30) {
            sleep(millis(0, 1000)).await;
            let mut ask = event(EventType::SupplementRequested);
            ask.missing_materials = vec!["401".into()];
            ask.reason = "请补充材料".into();
            self.report(ask).await;
            while !self.knows(&[EventType::SupplementSubmitted]) {
                if self.knows(&OVER) {
                    return;
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
        sleep(millis(0, 3000)).await;
        let mut decide = event(EventType::DecisionMade);
        decide.decision = Some(papers::decision(percent(60), self.taken_in));
        self.report(decide).await;
    }

    fn knows(&self, events: &[EventType]) -> bool {
        let told = |e: &EventType| events.contains(e);
        self.world.with(|s| s.books.case(self.party, &self.number).told.iter().any(told))
    }

    /// Tells the gateway until it has answered. Too early is told again, unless the case is over.
    async fn report(&self, event: pb::ApplicationEvent) {
        let what = event.r#type();
        let key = uuid::Uuid::new_v4().simple().to_string();
        let label = format!("{} {}", self.number, what.as_str_name());
        for _ in 0..60 {
            let told = self.tell(&label, &key, &event).await;
            let early = told == Told::Refused(Reason::IllegalTransition);
            if early && !self.knows(&OVER) {
                sleep(millis(100, 2000)).await;
                continue;
            }
            understood(&self.world, &label, &told);
            let (party, application) = (self.party, self.application.clone());
            let made = Made { party, application, event: what, told };
            return self.world.with(|state| state.books.made.push(made));
        }
        // Withdrawn, and the office has not heard of it yet.
        self.world.note(&format!("{} gives {label} up", self.party));
    }

    async fn tell(&self, label: &str, key: &str, event: &pb::ApplicationEvent) -> Told {
        let native = self.party != "44";
        let who = format!("{} {label}", self.party);
        insist(&self.world, &who, |intake| {
            let (desk, key, event) = (self.clone(), key.to_owned(), event.clone());
            async move {
                if native {
                    return Box::pin(desk.send_native(&intake, &key, event)).await;
                }
                let change = change(&desk.application, event);
                let trace = TraceContext::new();
                let caller = caller(desk.party);
                told(intake.change(&caller, &key, change, trace).await.map(|a| a.application))
            }
            .boxed()
        })
        .await
    }

    /// In the party's own format.
    async fn send_native(
        &self,
        intake: &Intake,
        number: &str,
        mut event: pb::ApplicationEvent,
    ) -> Told {
        event.application_id.clone_from(&self.application);
        event.acceptance_number.clone_from(&self.number);
        event.set_business(self.business);
        let fields = [
            ("application_id", self.application.clone()),
            ("case_number", self.number.clone()),
            ("sender", self.party.to_owned()),
            ("receiver", "tongban-23".to_owned()),
        ];
        let head = Head {
            message_number: number.to_owned(),
            business: self.business,
            kind: Kind::Event,
            fields: fields.into(),
        };
        let format = self.world.format(self.party);
        let document = format.write_event(&head, &event, None).unwrap();
        let caller = caller(self.party);
        let answer = intake.native(&caller, None, &document, TraceContext::new()).await;
        match answer {
            Err(problem) => Told::Refused(problem.reason),
            Ok(answer) => match answer.refused {
                Some(reason) => Told::Refused(reason),
                None => Told::Taken(Box::default()),
            },
        }
    }
}

fn event(what: EventType) -> pb::ApplicationEvent {
    pb::ApplicationEvent { r#type: what as i32, ..Default::default() }
}

/// The same step as the canonical API asks for it.
fn change(id: &str, event: pb::ApplicationEvent) -> Change {
    let (id, expected_version) = (id.to_owned(), 0);
    match event.r#type() {
        EventType::SupplementRequested => Change::RequestSupplement(pb::RequestSupplementRequest {
            id,
            expected_version,
            missing_materials: event.missing_materials,
            reason: event.reason,
        }),
        EventType::DecisionMade => Change::Decide(Box::new(pb::DecideApplicationRequest {
            id,
            expected_version,
            decision: event.decision,
        })),
        _ => Change::Accept(pb::AcceptApplicationRequest { id, expected_version }),
    }
}

/// A change may come too early or too late; for anything else it must not be refused.
pub(super) fn understood(world: &World, label: &str, told: &Told) {
    if let Told::Refused(reason) = told
        && *reason != Reason::IllegalTransition
    {
        world.fault(format!("{label}: refused as {}", reason.code()));
    }
}

pub(super) fn told(answer: Result<Box<pb::Application>, Problem>) -> Told {
    match answer {
        Ok(application) => Told::Taken(application),
        Err(problem) => Told::Refused(problem.reason),
    }
}

/// Calls until there is an answer that is one.
pub(super) async fn insist(
    world: &World,
    who: &str,
    make: impl Fn(Arc<Intake>) -> futures::future::BoxFuture<'static, Told>,
) -> Told {
    let later =
        [Reason::Unavailable, Reason::Overloaded, Reason::Internal, Reason::DeadlineExceeded];
    loop {
        match world.call(&make).await {
            None => world.note(&format!("{who}: no answer")),
            Some(Told::Refused(reason)) if later.contains(&reason) => {
                world.note(&format!("{who}: {}", reason.code()));
            }
            Some(told) => {
                let shown = match &told {
                    Told::Taken(_) => "taken",
                    Told::Refused(reason) => reason.code(),
                };
                world.note(&format!("{who}: {shown}"));
                return told;
            }
        }
        sleep(millis(100, 1500)).await;
    }
}
