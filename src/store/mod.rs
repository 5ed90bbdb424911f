//! The only durable state.
