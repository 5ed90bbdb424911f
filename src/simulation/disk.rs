//! The disk of one gateway's life: how long reads and commits take, how they end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use tokio::time::sleep;

use crate::{
    simulation::{
        random::{millis, percent},
        world::{World, for_ever},
    },
    store::{Bug, Disk, Fate, StoreError},
};

pub(super) struct PlayedDisk {
    world: Arc<World>,
    life: u32,
    dies: AtomicBool,
}

impl PlayedDisk {
    pub(super) fn new(world: Arc<World>, life: u32) -> Self {
        Self { world, life, dies: AtomicBool::new(false) }
    }

    async fn alive(&self) {
        if !self.world.lives(self.life) {
            for_ever::<()>().await;
        }
    }
}

#[async_trait]
impl Disk for PlayedDisk {
    async fn read(&self) -> Result<(), StoreError> {
        sleep(millis(1, 3)).await;
        self.alive().await;
        if percent(self.world.weather(|w| w.read_failed)) {
            return Err(StoreError::Unavailable("the disk cannot be read".into()));
        }
        Ok(())
    }

    async fn write(&self) {
        let slow = percent(self.world.weather(|w| w.commit_slow));
        sleep(if slow { millis(100, 4000) } else { millis(1, 4) }).await;
        self.alive().await;
    }

    fn fate(&self) -> Fate {
        let drawn = |share: u64| percent(share);
        let (not_done, done, dies) =
            self.world.weather(|w| (w.commit_not_done, w.commit_done_but_failed, w.dies_in_commit));
        self.dies.store(drawn(dies), Ordering::Relaxed);
        let fate = match () {
            () if drawn(not_done) => Fate::NotDone,
            () if drawn(done) => Fate::DoneButFailed,
            () => Fate::Done,
        };
        if fate != Fate::Done {
            self.world.note(&format!("commit: {fate:?}"));
        }
        fate
    }

    fn written(&self) {
        let dies = self.dies.load(Ordering::Relaxed) && self.world.lives(self.life);
        if dies && self.world.kill("after a commit") {
            // Somebody starts it again.
            let world = Arc::clone(&self.world);
            self.world.spawn(async move {
                sleep(millis(100, 2000)).await;
                world.start_again();
            });
        }
    }

    fn bug(&self) -> Option<Bug> {
        self.world.bug
    }

    fn shows(&self) -> bool {
        percent(5)
    }
}
