//! Reconciliation (对账): what one side says, held against what the other says. The monthly
//! comparison of a province's paid subsidies with the national list, row by row, in bounded
//! memory. Pure but for reading its input; says nothing personal in messages. Depends on model.

mod compare;
mod lines;
mod number;
mod rolls;

pub use crate::reconcile::{
    compare::{Cover, Difference, Kind, Tally, compare},
    number::Number,
    rolls::{Listed, Month, Paid, ReadError, RowFault, Terms, read_listed, read_paid},
};
