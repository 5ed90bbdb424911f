//! Every promise of the trait, tried.
