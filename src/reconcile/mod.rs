//! Reconciliation (对账): what one side says, held against what the other says. A day of messages
//! against a party's books, and the monthly comparison of a province's paid subsidies with the
//! national list. Pure but for reading its input; says nothing personal in messages. Depends on
//! model, the store's rows and dispatch's view of a party's books.

mod compare;
mod day;
mod lines;
mod number;
mod rolls;

pub use crate::reconcile::{
    compare::{Cover, Difference, Kind, Tally, compare},
    day::{Discrepancy, Fate, digest, messages, pending, submissions},
    number::Number,
    rolls::{Listed, Month, Paid, ReadError, RowFault, Terms, read_listed, read_paid},
};
