//! The brief cache of answers: bounded in number and time, and by a keyed digest of the person, so
//! that no number in the clear is a key. The key is this process's own and never leaves it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand};

/// Where an answer is kept.
pub(super) type Place = [u8; 32];

pub(super) struct Memory<T> {
    key: hmac::Key,
    time: Duration,
    most: usize,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    known: HashMap<Place, (Instant, T)>,
    /// The oldest first; a place kept again stands here twice, and the moment says which counts.
    order: VecDeque<(Instant, Place)>,
}

impl<T: Clone> Memory<T> {
    /// Keeps at most so many answers, each for that time.
    pub(super) fn new(time: Duration, most: usize) -> Self {
        let mut bytes = [0; 32];
        // Without randomness the digests are guessable, so nothing is kept.
        let most = if rand::fill(&mut bytes).is_ok() { most } else { 0 };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let inner = Mutex::new(Inner { known: HashMap::new(), order: VecDeque::new() });
        Self { key, time, most, inner }
    }

    /// Where the answer to a question about this is kept.
    pub(super) fn place(&self, about: &[&str]) -> Place {
        let mut context = hmac::Context::with_key(&self.key);
        for part in about {
            context.update(&u64::try_from(part.len()).unwrap_or_default().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut place = [0; 32];
        place.copy_from_slice(context.sign().as_ref());
        place
    }

    pub(super) fn recall(&self, place: &Place) -> Option<T> {
        self.recall_at(place, Instant::now())
    }

    pub(super) fn keep(&self, place: Place, answer: T) {
        self.keep_at(place, answer, Instant::now());
    }

    fn recall_at(&self, place: &Place, now: Instant) -> Option<T> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, answer) = inner.known.get(place)?;
        (now.duration_since(*kept) < self.time).then(|| answer.clone())
    }

    fn keep_at(&self, place: Place, answer: T, now: Instant) {
        if self.time.is_zero() || self.most == 0 {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.known.insert(place, (now, answer));
        inner.order.push_back((now, place));
        while let Some((kept, oldest)) = inner.order.front().copied() {
            let over = inner.order.len() > self.most;
            if !over && now.duration_since(kept) < self.time {
                break;
            }
            inner.order.pop_front();
            if inner.known.get(&oldest).is_some_and(|(moment, _)| *moment == kept) {
                inner.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_their_time_and_the_oldest_goes_first() {
        let memory = Memory::new(Duration::from_secs(60), 2);
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let place = |name: &str| memory.place(&[name]);
        memory.keep_at(place("a"), 1, now);
        assert_eq!(memory.recall_at(&place("a"), later(59)), Some(1));
        assert_eq!(memory.recall_at(&place("a"), later(60)), None);
        memory.keep_at(place("b"), 2, later(1));
        memory.keep_at(place("c"), 3, later(2));
        assert_eq!(memory.recall_at(&place("a"), later(3)), None);
        assert_eq!(memory.recall_at(&place("b"), later(3)), Some(2));
        memory.keep_at(place("d"), 4, later(90));
        assert_eq!(memory.inner.lock().unwrap().known.len(), 1);
    }

    #[test]
    fn places_differ_by_every_part_and_by_process() {
        let memory = Memory::<()>::new(Duration::from_secs(60), 2);
        assert_ne!(memory.place(&["ab", "c"]), memory.place(&["a", "bc"]));
        let other = Memory::<()>::new(Duration::from_secs(60), 2);
        assert_ne!(memory.place(&["a"]), other.place(&["a"]));
    }

    #[test]
    fn no_time_means_nothing_is_kept() {
        let memory = Memory::new(Duration::ZERO, 2);
        let place = memory.place(&["a"]);
        memory.keep(place, 1);
        assert_eq!(memory.recall(&place), None);
    }
}
