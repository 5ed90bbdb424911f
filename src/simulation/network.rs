//! The network between one gateway's life and one party: what is lost, late, doubled, cut short.
//! What is on the wire arrives whether or not anybody waits for the answer any more.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::StatusCode;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    dispatch::{Call, Failure, Reply, Simulated},
    simulation::{
        party,
        random::{millis, percent},
        world::{World, for_ever},
    },
    translate::Wire,
};

pub(super) struct Network {
    pub(super) world: Arc<World>,
    pub(super) life: u32,
    pub(super) party: &'static str,
}

#[async_trait]
impl Simulated for Network {
    async fn exchange(&self, call: Call) -> Result<Reply, Failure> {
        if !self.world.lives(self.life) {
            return for_ever().await;
        }
        let sent = Sent::new(&self.world, self.party, call);
        let what = sent.label.clone();
        if let Sent { number, what: What::Message(_), .. } = &sent {
            self.begin(number, &what);
        }
        let (number, question) = (sent.number.clone(), matches!(sent.what, What::Question));
        let patience = sent.patience;
        let ended = timeout(patience, self.travel(sent)).await.unwrap_or(Err(Failure::Late));
        if !self.world.lives(self.life) {
            return for_ever().await;
        }
        let shown = match &ended {
            Ok(reply) => format!("HTTP {}", reply.status.as_u16()),
            Err(failure) => format!("{failure:?}"),
        };
        self.world.note(&format!("{what} → {}: {shown}", self.party));
        let certain = match (&ended, question) {
            (Ok(reply), true) => party::does_not_know(self.party, reply),
            (Err(_), true) => false,
            (ended, false) => did_not_arrive(ended),
        };
        if certain {
            self.world.with(|state| state.books.message(self.party, &number).doubt = false);
        }
        ended
    }
}

/// What goes over the wire.
struct Sent {
    what: What,
    number: String,
    wire: Wire,
    patience: Duration,
    label: String,
}

#[derive(Clone)]
enum What {
    Message(Arc<Vec<u8>>),
    Question,
}

impl Sent {
    fn new(world: &World, to: &str, call: Call) -> Self {
        let patience = call.patience;
        let wire = if call.content_type.contains("xml") { Wire::Xml } else { Wire::Json };
        match call.document {
            Some(document) => {
                let head = world.format(to).open(&document, wire).ok().unwrap().head;
                let number = head.message_number.clone();
                let label = party::label(world.format(to), &document, wire);
                Self { what: What::Message(Arc::new(document)), number, wire, patience, label }
            }
            None => {
                let number = call.url.rsplit('/').next().unwrap().to_owned();
                let label = "status question".to_owned();
                Self { what: What::Question, number, wire, patience, label }
            }
        }
    }
}

impl Network {
    /// A message must not be sent again before the party was asked and did not know it.
    fn begin(&self, number: &str, what: &str) {
        let doubled = self.world.with(|state| {
            let message = state.books.message(self.party, number);
            std::mem::replace(&mut message.doubt, true)
        });
        if doubled {
            self.world.fault(format!("{what} is sent to {} again, unasked", self.party));
        }
    }

    async fn travel(&self, sent: Sent) -> Result<Reply, Failure> {
        let weather = self.world.weather(Clone::clone);
        let until = self.world.with(|state| state.down.get(self.party).copied());
        if until.is_some_and(|until| Instant::now() < until) || percent(weather.no_connection) {
            sleep(millis(1, 10)).await;
            return Err(Failure::NotConnected);
        }
        if percent(weather.twice) {
            self.carry(&sent, millis(5, 1500), None);
        }
        let there = if percent(weather.slow) { millis(200, 2500) } else { millis(1, 30) };
        if percent(weather.request_lost) {
            return lost().await;
        }
        let (answer, answered) = oneshot::channel();
        self.carry(&sent, there, Some(answer));
        let mut reply = answered.await.map_err(|_| Failure::Broken)?;
        if percent(weather.answer_lost) {
            return lost().await;
        }
        if percent(weather.answer_cut) {
            reply.body = None;
        }
        Ok(reply)
    }

    /// Carries what was sent to the party, and its answer back.
    fn carry(&self, sent: &Sent, there: Duration, answer: Option<oneshot::Sender<Reply>>) {
        let (world, to) = (Arc::clone(&self.world), self.party);
        let (what, number, wire) = (sent.what.clone(), sent.number.clone(), sent.wire);
        self.world.spawn(async move {
            sleep(there).await;
            let reply = match what {
                What::Message(document) => party::receive(&world, to, &document, wire),
                What::Question => party::asked(&world, to, &number, wire),
            };
            sleep(millis(1, 30)).await;
            if let Some(answer) = answer {
                _ = answer.send(reply);
            }
        });
    }
}

/// Whether the gateway is told for certain that its message is not stored.
fn did_not_arrive(ended: &Result<Reply, Failure>) -> bool {
    match ended {
        Err(failure) => *failure == Failure::NotConnected,
        Ok(reply) => match reply.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE => reply.retry_after.is_some() && reply.body.is_some(),
            StatusCode::BAD_REQUEST => reply.body.is_some(),
            _ => false,
        },
    }
}

/// Nothing comes back: the connection breaks, or nobody notices.
async fn lost() -> Result<Reply, Failure> {
    if percent(50) {
        sleep(millis(1, 100)).await;
        return Err(Failure::Broken);
    }
    for_ever().await
}
