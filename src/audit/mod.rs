//! The leaf of the tamper-evident log.
