//! The whole-system tests: one binary, one link, a module a subject. Each test that needs a
//! gateway starts the real binary with its own certificates, ports and store; nothing is shared
//! and nothing sleeps: a test waits on something observable, with a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    reason = "tests stop at the first surprise"
)]

mod architecture;
mod backup;
mod benefits;
mod cli;
mod clients;
mod compare;
mod config_faults;
mod crew;
mod database;
mod demo;
mod dispatch;
mod duplicates;
mod eligibility;
mod formats;
mod handed_on;
mod harness;
mod idempotency;
mod keeping;
mod ledger;
mod limits;
mod line;
mod matrix;
mod mistakes;
mod overload;
mod papers;
mod postgres;
mod races;
mod receiver;
mod reconcile;
mod replicas;
mod restart;
mod retention;
mod routing;
mod samples;
mod shutdown;
mod soak;
mod submit;
mod traces;
mod upgrade;
mod verification;
mod watch;
mod world;
