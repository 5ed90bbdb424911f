//! The world of one seed: one gateway at a time on one database, the parties around it, the
//! weather, and the trace of all that was decided.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    auth::Caller,
    business::rules::Rulebook,
    cli::checked,
    config::{self, Config, PartyKind, routes::Routes},
    dispatch::{Dispatch, Link},
    intake::{Intake, Means},
    model::{calendar::Calendar, clock, divisions::Divisions, shape::Shapes},
    simulation::{
        books::Books,
        disk::PlayedDisk,
        ledger,
        network::Network,
        random::{self, below, millis, percent},
        weather::Weather,
    },
    store::{Bug, Sqlite, Store, Terms, vault::Vault},
    translate::{Format, Translator},
};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 24 * 3600 * SECOND;

/// The parties, who all submit and all handle.
pub(super) const PARTIES: [&str; 3] = ["23", "44", "national"];

/// When every run begins: a Monday morning, 2 March 2026, 09:00 in China.
const BEGIN: i64 = 1_772_413_200 * SECOND;

/// What all seeds share: the configuration as it is shipped.
pub(super) struct Ground {
    pub(super) config: Config,
    pub(super) translator: Arc<Translator>,
    shapes: Arc<Shapes>,
    calendar: Arc<Calendar>,
    divisions: Arc<Divisions>,
    rulebook: Arc<Rulebook>,
    authorities: Routes,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let checked = checked(std::path::Path::new("config/tongban.toml")).ok().unwrap();
    let mut config = checked.config;
    // Short waits and few attempts: what takes hours takes seconds.
    config.dispatch = config::Dispatch {
        in_flight: 4,
        attempt_ms: 1000,
        lease_ms: 3000,
        backoff_ms: 100,
        backoff_cap_ms: 1500,
        attempts: 6,
        breaker_failures: 4,
        breaker_open_ms: 800,
    };
    for party in config.parties.values_mut() {
        // The keys are no part of the repository.
        party.entry.delivery.as_mut().unwrap().seal = config::Seal::default();
    }
    Ground {
        config,
        translator: Arc::new(checked.translator),
        divisions: Arc::clone(checked.shapes.divisions()),
        shapes: Arc::new(checked.shapes),
        calendar: Arc::new(checked.calendar),
        rulebook: Arc::new(checked.rulebook),
        authorities: checked.authorities,
    }
});

/// The gateway that runs.
struct Gateway {
    intake: Arc<Intake>,
    store: Arc<dyn Store>,
    dispatch: Dispatch,
    calls: Vec<AbortHandle>,
}

pub(super) struct State {
    pub(super) weather: Weather,
    pub(super) books: Books,
    /// What went wrong that must not.
    pub(super) faults: Vec<String>,
    pub(super) trace: Vec<String>,
    /// Parties that cannot be reached until then.
    pub(super) down: BTreeMap<&'static str, Instant>,
    /// Count of gateways that ran.
    life: u32,
    gateway: Option<Gateway>,
    /// Citizens' and officials' business in progress.
    busy: usize,
}

pub(super) struct World {
    pub(super) database: String,
    pub(super) bug: Option<Bug>,
    began: Instant,
    state: Mutex<State>,
}

impl World {
    /// Sets the thread's clock and chance; must be called on the paused runtime.
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Arc<Self> {
        random::begin(seed);
        clock::simulated::set(Some(BEGIN));
        let name = uuid::Uuid::new_v4().simple().to_string();
        let state = State {
            weather: Weather::drawn(),
            books: Books::default(),
            faults: Vec::new(),
            trace: Vec::new(),
            down: BTreeMap::new(),
            life: 0,
            gateway: None,
            busy: 0,
        };
        Arc::new(Self {
            database: format!("file:/tongban-{name}?vfs=memdb"),
            bug,
            began: Instant::now(),
            state: Mutex::new(state),
        })
    }

    /// The state; never held across an await.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    pub(super) fn weather<T>(&self, of: impl FnOnce(&Weather) -> T) -> T {
        self.with(|state| of(&state.weather))
    }

    pub(super) fn note(&self, what: &str) {
        let at = self.began.elapsed().as_millis();
        self.with(|state| state.trace.push(format!("{at:>7} {what}")));
    }

    pub(super) fn fault(&self, what: String) {
        self.note(&format!("FAULT {what}"));
        self.with(|state| state.faults.push(what));
    }

    pub(super) fn ground(&self) -> &'static Ground {
        &GROUND
    }

    pub(super) fn format(&self, party: &str) -> &'static Format {
        let folder = &GROUND.config.parties[party].folder;
        GROUND.translator.format(folder).unwrap()
    }

    /// Runs somebody's business; the world does not end before it does.
    pub(super) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.with(|state| state.busy += 1);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                world.fault("an actor panicked".into());
            }
            world.with(|state| state.busy -= 1);
        });
    }

    /// Whether nobody has anything to do any more.
    pub(super) fn is_idle(&self) -> bool {
        self.with(|state| state.busy == 0)
    }

    /// Whether the gateway of that life still runs.
    pub(super) fn lives(&self, life: u32) -> bool {
        self.with(|state| state.life == life)
    }

    pub(super) fn store(&self) -> Option<Arc<dyn Store>> {
        self.with(|state| state.gateway.as_ref().map(|gateway| Arc::clone(&gateway.store)))
    }

    /// Starts a gateway on the database.
    pub(super) fn start(self: &Arc<Self>) {
        let life = self.with(|state| state.life);
        let ground = self.ground();
        let takers = PARTIES.map(str::to_owned).into();
        let divisions = Arc::clone(&ground.divisions);
        let longest_wait = i64::try_from(ground.config.dispatch.lease_ms).ok().map(|ms| ms * 1000);
        let terms =
            Terms { calendar: Arc::clone(&ground.calendar), divisions, takers, longest_wait };
        let vault = Vault::new(&[7; 32]).unwrap();
        let disk = Arc::new(PlayedDisk::new(Arc::clone(self), life));
        let store = Sqlite::open_inline(&self.database, (vault, terms), disk).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let link = |party: &config::Party| {
            let code = PARTIES.into_iter().find(|code| *code == party.entry.code).unwrap();
            Ok(Link::Simulated(Arc::new(Network { world: Arc::clone(self), life, party: code })))
        };
        let parts = (&link as &dyn Fn(&config::Party) -> _, random::chance as fn() -> f64);
        let dispatch = Dispatch::start_over(&ground.config, &store, &ground.translator, parts);
        let intake = Intake::new(Means {
            store: Arc::clone(&store),
            shapes: Arc::clone(&ground.shapes),
            translator: Arc::clone(&ground.translator),
            parties: ground.config.parties.clone(),
            calendar: Arc::clone(&ground.calendar),
            rulebook: Arc::clone(&ground.rulebook),
            authorities: ground.authorities.clone(),
            verifier: None,
        });
        let (dispatch, intake) = (dispatch.ok().unwrap(), Arc::new(intake.ok().unwrap()));
        self.note(&format!("gateway {life} starts"));
        let gateway = Gateway { intake, store, dispatch, calls: Vec::new() };
        self.with(|state| state.gateway = Some(gateway));
        self.watch();
    }

    /// Ends the gateway where it stands: its calls are dropped, its deliveries get no further than
    /// their next look at disk or network. What is on the wire stays on the wire.
    /// Returns whether one ran.
    pub(super) fn kill(&self, why: &str) -> bool {
        let gateway = self.with(|state| {
            let gateway = state.gateway.take()?;
            state.life += 1;
            Some(gateway)
        });
        let Some(gateway) = gateway else { return false };
        self.note(&format!("gateway killed: {why}"));
        gateway.calls.iter().for_each(AbortHandle::abort);
        ledger::remember_log(self);
        true
    }

    /// Stops the gateway as a terminated process does.
    pub(super) async fn stop(&self) {
        let Some(gateway) = self.with(|state| state.gateway.take()) else { return };
        self.note("gateway stops");
        gateway.dispatch.stop(Duration::from_millis(below(1500))).await;
        gateway.calls.iter().for_each(AbortHandle::abort);
        self.with(|state| state.life += 1);
        ledger::remember_log(self);
    }

    /// Lets the wall clock jump.
    pub(super) fn jump(&self, by: i64) {
        self.note(&format!("wall clock jumps {} s", by / SECOND));
        clock::simulated::set(Some(clock::now_micros() + by));
    }

    /// One call of a party to the gateway; `None` when no answer came.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        make: impl Fn(Arc<Intake>) -> BoxFuture<'static, T>,
    ) -> Option<T> {
        sleep(millis(1, 20)).await;
        if percent(self.weather(|w| w.call_lost)) {
            sleep(Duration::from_secs(1)).await;
            return None;
        }
        let twice = percent(self.weather(|w| w.call_twice));
        let running = self.with(|state| {
            let gateway = state.gateway.as_mut()?;
            if twice {
                let also = make(Arc::clone(&gateway.intake));
                let also = tokio::spawn(async move {
                    sleep(millis(0, 300)).await;
                    drop(also.await);
                });
                gateway.calls.push(also.abort_handle());
            }
            let running = tokio::spawn(make(Arc::clone(&gateway.intake)));
            gateway.calls.push(running.abort_handle());
            Some(running)
        });
        let answer = timeout(Duration::from_secs(5), running?).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                if error.is_panic() {
                    self.fault("a call panicked".into());
                }
                return None;
            }
            Err(_) => return None,
        };
        sleep(millis(1, 20)).await;
        (!percent(self.weather(|w| w.told_lost))).then_some(answer)
    }

    /// A task of the gateway that is no call: ends with it.
    pub(super) fn attach(&self, task: impl FnOnce(Arc<Intake>) -> BoxFuture<'static, ()>) {
        self.with(|state| {
            let Some(gateway) = state.gateway.as_mut() else { return };
            let task = tokio::spawn(task(Arc::clone(&gateway.intake)));
            gateway.calls.push(task.abort_handle());
        });
    }

    /// Blows against the gateway, the clock or a party, one after the other.
    pub(super) async fn blows(self: Arc<Self>) {
        for _ in 0..self.weather(|w| w.blows) {
            sleep(millis(300, 5000)).await;
            if self.weather(|w| w.blows) == 0 {
                return; // It is calm.
            }
            match below(6) {
                0 | 1 => _ = self.kill("a blow"),
                2 => self.stop().await,
                3 => {
                    let days = if percent(30) { 40 } else { 3 };
                    self.jump(i64::try_from(below(days * 86_400)).unwrap() * SECOND);
                }
                4 => self.jump(-i64::try_from(below(20)).unwrap() * SECOND),
                _ => self.cut_off(),
            }
            if self.store().is_none() {
                sleep(millis(0, 2000)).await;
                if percent(40) {
                    self.jump(i64::try_from(below(120)).unwrap() * SECOND - 20 * SECOND);
                }
                self.start_again();
            }
        }
    }

    /// Starts a gateway where none runs.
    pub(super) fn start_again(self: &Arc<Self>) {
        if self.store().is_none() {
            self.start();
        }
    }

    fn cut_off(&self) {
        let (party, length) = (random::pick(&PARTIES), millis(500, 6000));
        self.note(&format!("{party} is down for {} ms", length.as_millis()));
        self.with(|state| _ = state.down.insert(party, Instant::now() + length));
    }
}

/// A caller of that party.
pub(super) fn caller(party: &str) -> Caller {
    let kind = match party {
        "23" => PartyKind::Platform,
        "national" => PartyKind::National,
        _ => PartyKind::Province,
    };
    Caller::simulated(party, kind)
}

/// Lasts for ever: who waits for it is dead.
pub(super) async fn for_ever<T>() -> T {
    std::future::pending().await
}
