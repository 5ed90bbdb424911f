//! When to try again: capped exponential backoff with jitter, and what a receiver asked for.
//! Pure; time and chance are passed in.

use std::time::Duration;

use crate::config;

/// The wait before the next attempt, after `attempt` (from 1) has failed. `chance` is from 0 to
/// 1: half of the wait is fixed and half of it left to chance, so that many deliveries that
/// failed together do not come back together.
pub(super) fn wait(settings: &config::Dispatch, attempt: u32, chance: f64) -> Duration {
    let cap = settings.backoff_cap_ms;
    let doublings = attempt.saturating_sub(1).min(32);
    let full = settings.backoff_ms.saturating_mul(1 << doublings).min(cap);
    let half = Duration::from_millis(full / 2);
    half + half.mul_f64(chance.clamp(0.0, 1.0))
}

/// What the receiver asked for by `Retry-After` (seconds), never shorter than our own wait and
/// never longer than the cap: a receiver must not be able to put a delivery off for days.
pub(super) fn heed(settings: &config::Dispatch, own: Duration, asked: Duration) -> Duration {
    asked.min(Duration::from_millis(settings.backoff_cap_ms)).max(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> config::Dispatch {
        config::Dispatch { backoff_ms: 100, backoff_cap_ms: 10_000, ..Default::default() }
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap() {
        let waits: Vec<u128> =
            (1..=9).map(|attempt| wait(&settings(), attempt, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(wait(&settings(), u32::MAX, 1.0).as_millis(), 10_000);
    }

    #[test]
    fn chance_moves_the_wait_within_its_upper_half() {
        assert_eq!(wait(&settings(), 3, 0.0).as_millis(), 200);
        assert_eq!(wait(&settings(), 3, 0.5).as_millis(), 300);
    }

    #[test]
    fn what_the_receiver_asks_is_heeded_within_bounds() {
        let own = Duration::from_millis(400);
        let heed = |asked| heed(&settings(), own, Duration::from_secs(asked));
        assert_eq!(heed(0), own);
        assert_eq!(heed(3), Duration::from_secs(3));
        assert_eq!(heed(86_400), Duration::from_secs(10));
    }
}
