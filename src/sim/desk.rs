//! The desk of a simulator: takes messages, remembers where each case stands, and wakes whoever
//! works on it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    model::{clock, codes::Codes, divisions::Divisions, trace::TraceContext},
    sim::{
        books::Books,
        case::{Content, Happening, Received},
        dice::Dice,
        faults::Faults,
        forms::Forms,
        gateway::Gateway,
        people::People,
        reconciliation::Register,
        registry,
        settings::Settings,
        voice::Voice,
        watch::Watched,
        work,
    },
};

/// What is known of one case here.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The handling side asked for papers.
    pub asked: bool,
    /// The submitting side handed them in.
    pub supplemented: bool,
    pub withdrawn: bool,
    pub decided: bool,
    pub granted: bool,
    /// The hub's check: passed or not.
    pub checked: Option<bool>,
    /// Ended because nothing was handed in, or nobody came.
    pub expired: bool,
    pub absent: bool,
    /// Somebody else asked for the same and was refused.
    pub told_twice: bool,
    /// Kinds of paper that are asked for.
    pub missing: Vec<String>,
    /// Kinds of paper that were handed in later.
    pub papers: Vec<String>,
}

impl Standing {
    const fn note(&mut self, what: Happening, granted: bool) {
        match what {
            Happening::SupplementRequested => self.asked = true,
            Happening::SupplementSubmitted => self.supplemented = true,
            Happening::Decided => (self.decided, self.granted) = (true, granted),
            Happening::Withdrawn => self.withdrawn = true,
            Happening::CheckPassed => self.checked = Some(true),
            Happening::CheckConflict => self.checked = Some(false),
            Happening::Expired => self.expired = true,
            Happening::Absent => self.absent = true,
            Happening::ToldTwice => self.told_twice = true,
            Happening::Accepted
            | Happening::CoolingEnded
            | Happening::CollectionLapsed
            | Happening::ArchiveAsked
            | Happening::Reviewed
            | Happening::Annulled
            | Happening::PaysNoLonger
            | Happening::Other => {}
        }
    }
}

/// A running simulator.
pub(super) struct Desk {
    pub settings: Settings,
    pub voice: Box<dyn Voice>,
    pub books: Books,
    /// Which messages came on which day.
    pub register: Register,
    pub faults: Faults,
    pub gateway: Gateway,
    pub watched: Watched,
    pub forms: Mutex<Forms>,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
    /// Ends submitting; everything else goes on.
    pub enough: CancellationToken,
    cases: Mutex<HashMap<String, watch::Sender<Standing>>>,
    dice: Mutex<Dice>,
    /// Cases that people here are at work on.
    busy: AtomicUsize,
}

impl Desk {
    pub(super) fn new(
        settings: Settings,
        voice: Box<dyn Voice>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let spec = settings.faults.parse().map_err(anyhow::Error::msg)?;
        let codes = Codes::load(&settings.config.join("codes"))
            .map_err(|faults| anyhow::anyhow!("{} faulty code lists", faults.len()))?;
        let divisions = Divisions::load(&settings.config.join("divisions.csv"))
            .map_err(|faults| anyhow::anyhow!("{} faults in divisions.csv", faults.len()))?;
        let codes = Arc::new(codes);
        let (seed, place) = (settings.seed, settings.role.place());
        let today = clock::china_date(clock::now_micros());
        let people = People::new(codes, &divisions, (seed, place), today);
        Ok(Self {
            gateway: Gateway::new(&settings, stop.clone())?,
            voice,
            books: Books::default(),
            register: Register::default(),
            faults: Faults::new(spec, seed ^ 0xfa17),
            watched: Watched::default(),
            forms: Mutex::new(Forms::new(people, settings.role, seed)),
            tasks: TaskTracker::new(),
            enough: stop.child_token(),
            stop,
            cases: Mutex::default(),
            dice: Mutex::new(Dice::new(seed.rotate_left(17))),
            busy: AtomicUsize::new(0),
            settings,
        })
    }

    /// Takes a message: its number, or why it is refused. A repeated number changes nothing.
    pub(super) fn take(
        self: &Arc<Self>,
        bytes: &[u8],
        trace: Option<TraceContext>,
    ) -> Result<String, String> {
        let mut received = match self.voice.read(bytes) {
            Ok(received) => received,
            Err(error) => {
                self.books.problem(format!("a message was not understood: {error:#}"));
                return Err(error.to_string());
            }
        };
        received.trace = trace.unwrap_or(received.trace);
        let message = received.message.clone();
        self.register.stored(&received);
        if self.books.receive(&received) {
            self.act(received);
        }
        Ok(message)
    }

    /// Whether a message of that number is stored; for the status question.
    pub(super) fn holds(&self, message: &str) -> bool {
        self.books.holds(message) && !self.register.has_lost(message)
    }

    fn act(self: &Arc<Self>, received: Received) {
        match received.content {
            Content::Application(_) => {
                self.work(|desk| async move { work::handle(&desk, received).await });
            }
            Content::Result { .. } => {
                self.work(|desk| async move { registry::annul(&desk, received).await });
            }
            Content::Event { what, granted, missing, papers, .. } => {
                self.case(&received.number).send_modify(|standing| {
                    standing.missing.extend(missing);
                    standing.papers.extend(papers);
                    standing.note(what, granted);
                });
            }
        }
    }

    /// Where the case of that number stands; begun when first asked for.
    pub(super) fn case(&self, number: &str) -> watch::Sender<Standing> {
        let mut cases = self.cases.lock().unwrap_or_else(PoisonError::into_inner);
        cases.entry(number.to_owned()).or_default().clone()
    }

    /// Waits until the case stands as `is` says; `None` when the simulator stops.
    pub(super) async fn until(
        &self,
        number: &str,
        is: impl FnMut(&Standing) -> bool,
    ) -> Option<Standing> {
        let mut standing = self.case(number).subscribe();
        tokio::select! {
            () = self.stop.cancelled() => None,
            standing = standing.wait_for(is) => standing.ok().map(|standing| standing.clone()),
        }
    }

    /// The time a case lies on the desk before somebody takes it up.
    pub(super) async fn think(&self) {
        let [low, high] = self.settings.think_ms;
        let ms = self.dice.lock().unwrap_or_else(PoisonError::into_inner).between(low, high);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Somebody sets to work on a case.
    pub(super) fn work<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = Option<()>> + Send + 'static,
    {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let (desk, working) = (Arc::clone(self), work(Arc::clone(self)));
        self.tasks.spawn(async move {
            working.await;
            desk.busy.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// How many cases people here are at work on.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}
