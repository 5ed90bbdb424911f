//! Idempotency keys: scoped to party and operation, bound to the content they came with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::store::rows::IdempotencyKey;

/// The keys in use now: who comes with the same one waits for the first. Two answers to one message
/// could differ otherwise, where the rules ask the national hub and it answers only one of the two.
/// Bounded by the calls in progress.
#[derive(Default)]
pub(super) struct InUse(Mutex<HashMap<[u8; 32], Arc<AsyncMutex<()>>>>);

/// The right to go on with a key; ends when dropped.
pub(super) struct Turn<'a> {
    keys: &'a InUse,
    key: [u8; 32],
    guard: Option<OwnedMutexGuard<()>>,
}

impl InUse {
    /// Waits until nobody else uses the key.
    pub(super) async fn turn(&self, key: &IdempotencyKey) -> Turn<'_> {
        // There before the wait: a call that is given up meanwhile tidies up too.
        let mut turn = Turn { keys: self, key: key.key, guard: None };
        let lock = {
            let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(keys.entry(key.key).or_default())
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut keys = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's own is the last: nobody waits.
        if keys.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            keys.remove(&self.key);
        }
    }
}

/// The key as it is stored. The content is the canonical message's encoding, so that the same
/// document in JSON, protobuf or a party's own format is the same content.
pub(super) fn key(party: &str, operation: &str, key: &str, content: &[u8]) -> IdempotencyKey {
    let mut context = Context::new(&SHA256);
    for part in [party, operation, key] {
        // Lengths keep ("a", "bc") and ("ab", "c") apart.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut stored = IdempotencyKey { key: [0; 32], content: [0; 32] };
    stored.key.copy_from_slice(context.finish().as_ref());
    stored.content.copy_from_slice(digest(&SHA256, content).as_ref());
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_with_the_same_key_waits_and_nothing_is_left_behind() {
        let keys = InUse::default();
        let (one, other) = (key("23", "S", "k", b"a"), key("23", "S", "l", b"a"));
        let first = keys.turn(&one).await;
        drop(keys.turn(&other).await);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), keys.turn(&one));
        assert!(waited.await.is_err(), "the first is still at it");
        drop(first);
        drop(keys.turn(&one).await);
        assert!(keys.0.lock().unwrap().is_empty());
        // One that has its place in the line when the first ends, and is given up before it goes on.
        let first = keys.turn(&one).await;
        let mut second = Box::pin(keys.turn(&one));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second);
        assert!(keys.0.lock().unwrap().is_empty());
    }

    #[test]
    fn the_key_is_scoped_to_party_and_operation_and_the_content_is_apart() {
        let first = key("23", "SubmitApplication", "k", b"a");
        assert_eq!(first, key("23", "SubmitApplication", "k", b"a"));
        assert_ne!(first.key, key("44", "SubmitApplication", "k", b"a").key);
        assert_ne!(first.key, key("23", "DecideApplication", "k", b"a").key);
        assert_ne!(first.key, key("23S", "ubmitApplication", "k", b"a").key);
        let other = key("23", "SubmitApplication", "k", b"b");
        assert_eq!(first.key, other.key);
        assert_ne!(first.content, other.content);
    }
}
