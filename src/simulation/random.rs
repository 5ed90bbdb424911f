//! Chance that comes from the seed, one stream a thread (SplitMix64).

use std::{cell::Cell, time::Duration};

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn begin(seed: u64) {
    STATE.set(seed.wrapping_mul(0xd134_2543_de82_ef95));
}

fn next() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// From 0 to `end`, without it.
pub(super) fn below(end: u64) -> u64 {
    next() % end.max(1)
}

pub(super) fn percent(share: u64) -> bool {
    below(100) < share
}

/// From 0 to 1.
pub(super) fn chance() -> f64 {
    f64::from(u32::try_from(next() >> 32).unwrap()) / f64::from(u32::MAX)
}

pub(super) fn millis(from: u64, to: u64) -> Duration {
    Duration::from_millis(from + below(to - from + 1))
}

pub(super) fn pick<T: Copy>(list: &[T]) -> T {
    list[usize::try_from(below(list.len() as u64)).unwrap()]
}
