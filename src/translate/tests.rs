//! Tests of the engine over the shipped tables.
