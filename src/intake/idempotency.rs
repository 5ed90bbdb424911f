//! Idempotency keys: scoped to party and operation, bound to the content they came with.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::store::rows::IdempotencyKey;

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
