//! What a gateway stands on: a disk that is full, read-only or slow, a database that another holds,
//! a wall clock that jumps. Mounting needs root: without it these cells say so and are left out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::{Connection, TransactionBehavior};

use crate::{
    database::{Database, Engine},
    harness::{SOON, until},
    matrix::Cell,
    receiver::Act,
    world::{Callbacks, World},
};

/// A file system of its own; unmounted when dropped, after the world that lives on it.
struct Disk(PathBuf);

impl Disk {
    /// None where nobody may mount.
    fn mount(cell: &str, commands: &[&str]) -> Option<Self> {
        let place = std::env::temp_dir().join(format!("tongban-disk-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&place).unwrap();
        let disk = Self(place);
        if !commands.iter().all(|command| disk.run(command)) {
            println!("| SQLite × 1: disk {cell} | NOT RUN: mounting needs root |");
            return None;
        }
        Some(disk)
    }

    fn run(&self, command: &str) -> bool {
        let command = command.replace("HERE", self.0.to_str().unwrap());
        Command::new("sh").args(["-c", &command]).status().unwrap().success()
    }

    fn store(&self) -> Database {
        Database::Sqlite(self.0.join("tongban.db"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount -l HERE 2>/dev/null; rm -f HERE.image");
        fs::remove_dir(&self.0).unwrap_or_default();
    }
}

/// Waits until the gateways have said that, more often than before.
async fn says(world: &World, what: &str, before: usize) {
    let said = || async { (said(world, what) > before).then_some(()) };
    until(&format!("`{what}` in the log"), SOON, said).await;
}

fn said(world: &World, what: &str) -> usize {
    world.crew.log().matches(what).count()
}

/// Takes every byte that is free.
fn fill(file: &Path) {
    use std::io::Write as _;

    let mut file = fs::File::create(file).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_is_full() {
    let mount = "mount -t tmpfs -o size=16m tongban HERE";
    let Some(disk) = Disk::mount("full", &[mount]) else { return };
    let world = World::on(disk.store(), 1).await;
    world.courses(4, Callbacks::Plain).await;
    let cell = Cell::begin(&world, "disk full");
    let filler = disk.0.join("filler");
    fill(&filler);
    let full = async {
        says(&world, "could not commit", 0).await;
        // It cannot begin either, and does once there is room.
        let before = said(&world, "disk");
        world.crew.kill(0);
        says(&world, "disk", before).await;
        fs::remove_file(&filler).unwrap();
    };
    tokio::join!(world.courses(4, Callbacks::Plain), full);
    let hits = said(&world, "could not commit");
    cell.end(hits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_becomes_read_only() {
    let make =
        "truncate -s 64M HERE.image && mkfs.ext4 -q HERE.image && mount -o loop HERE.image HERE";
    let Some(disk) = Disk::mount("read-only", &[make]) else { return };
    let world = World::on(disk.store(), 1).await;
    world.courses(4, Callbacks::Plain).await;
    let cell = Cell::begin(&world, "disk read-only");
    let read_only = async {
        // What the kernel does by itself when the device fails. Between giving up its journal and
        // turning read-only ext4 says to `fdatasync` that it is done and then forgets the data: that
        // disk lies, and no store can tell. So nobody is about to write when it happens.
        world.crew.freeze().await;
        assert!(disk.run("mount -o remount,abort HERE"));
        world.crew.thaw();
        says(&world, "could not commit", 0).await;
        world.crew.hold().await;
        assert!(disk.run("umount HERE && mount -o loop HERE.image HERE"));
        world.crew.release();
    };
    tokio::join!(world.courses(4, Callbacks::Plain), read_only);
    let hits = said(&world, "could not commit");
    cell.end(hits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_is_slow_or_the_database_is_held() {
    let world = World::start(Engine::Sqlite, 1).await;
    let cell = Cell::begin(&world, "disk slow to fsync");
    world.crew.arm("commit before slow 250 1000000");
    world.courses(4, Callbacks::Plain).await;
    let hits = world.crew.disarm();
    assert!(hits > 4, "the commits were not slow");
    cell.end(hits).await;

    let cell = Cell::begin(&world, "database lock timeout");
    let Database::Sqlite(file) = &world.database else { panic!("no file") };
    let held = async {
        let mut other = Connection::open(file).unwrap();
        let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        // Longer than the gateway waits for it.
        says(&world, "database is locked", 0).await;
        drop(lock);
    };
    tokio::join!(world.courses(4, Callbacks::Plain), held);
    let hits = said(&world, "database is locked");
    cell.end(hits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps() {
    clocks(Engine::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the whole matrix; needs TONGBAN_TEST_POSTGRES"]
async fn clock_jumps_on_postgres() {
    clocks(Engine::Postgres, 3).await;
}

async fn clocks(engine: Engine, processes: usize) {
    let world = World::start(engine, processes).await;
    // Half an hour, so that the callers' tokens hold on both sides of it.
    for (name, first, then) in [("forward", 0, 1800), ("backward", 1800, 0)] {
        let cell = Cell::begin(&world, &format!("clock jumps {name}"));
        world.crew.arm(&format!("clock {first}"));
        world.courses(2, Callbacks::Plain).await;
        // The first attempts fail, so that it jumps while some wait for their hour.
        let late = vec![Act::Status(500, None); 6];
        [&world.platform, &world.away].iter().for_each(|one| one.script(late.clone()));
        let jump = async {
            let some = world.platform.messages().len() + 3;
            world.platform.gets(some).await;
            world.crew.arm(&format!("clock {then}"));
        };
        tokio::join!(world.courses(8, Callbacks::Plain), jump);
        cell.end(1).await;
    }
}
