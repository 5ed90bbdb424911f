//! Tongban (通办): the gateway at the seam between a provincial civil-affairs platform, the
//! national Golden-Civil-Affairs systems (金民工程) and the other provinces.
//!
//! The order of the `mod` lines is the dependency order: a room names only rooms above it.
//! `tests/it/architecture.rs` holds that. The way of an application through the house:
//! edge → intake → store → dispatch → partner, and the same way back.

pub mod failpoint;
pub mod model;
pub mod config;
pub mod telemetry;
pub mod tls;
pub mod breaker;
pub mod auth;
pub mod audit;
pub mod translate;
pub mod business;
pub mod verify;
pub mod store;
pub mod intake;
pub mod dispatch;
pub mod reconcile;
pub mod edge;
pub mod sim;
pub mod cli;
#[cfg(test)]
pub mod simulation;
