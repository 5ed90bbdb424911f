//! The key of one service of the exchange platform: signed for with the application key, handed out
//! encrypted, good until its end. Any number of callers at once cause one call for a new key; it is
//! replaced before its end while the old one still serves.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
    },
    hmac,
    iv::FixedLength,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio_util::task::TaskTracker;

use crate::{config::KeyCipher, model::clock, verify::Failure};

/// `gjgxjhpt_sign`: Base64 of HMAC-SHA256 over requester, service and time, one after the other.
pub(super) fn sign(key: &hmac::Key, (rid, sid, rtime): (&str, &str, &str)) -> String {
    STANDARD.encode(hmac::sign(key, format!("{sid}{rid}{rtime}").as_bytes()))
}

/// The key behind `secret`: Base64 of its text, encrypted with the application key.
pub(super) fn decrypt(cipher: KeyCipher, app_key: &[u8], secret: &str) -> Option<Vec<u8>> {
    let mut bytes = STANDARD.decode(secret.trim()).ok()?;
    let key = UnboundCipherKey::new(algorithm(app_key.len())?, app_key).ok()?;
    let plain = match cipher {
        KeyCipher::AesEcb => {
            let key = PaddedBlockDecryptingKey::ecb_pkcs7(key).ok()?;
            key.decrypt(&mut bytes, DecryptionContext::None).ok()?.to_vec()
        }
        KeyCipher::AesCbc => {
            let (iv, sealed) = bytes.split_at_mut_checked(16)?;
            let iv = <[u8; 16]>::try_from(&*iv).ok()?;
            let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
            let context = DecryptionContext::Iv128(FixedLength::from(iv));
            key.decrypt(sealed, context).ok()?.to_vec()
        }
    };
    (!plain.is_empty()).then_some(plain)
}

/// The AES that takes a key of so many bytes.
pub(super) fn algorithm(length: usize) -> Option<&'static aws_lc_rs::cipher::Algorithm> {
    match length {
        16 => Some(&AES_128),
        24 => Some(&AES_192),
        32 => Some(&AES_256),
        _ => None,
    }
}

/// `secretEndTime` in microseconds UTC: epoch milliseconds or seconds, as number or text, or
/// `yyyy-MM-dd HH:mm:ss` in China.
pub(super) fn end_time(value: &serde_json::Value) -> Option<i64> {
    let text = match value {
        serde_json::Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    if let Ok(number) = text.parse::<i64>() {
        // Seconds stay below 10^11 until the year 5138.
        let factor = if number < 100_000_000_000 { 1_000_000 } else { 1_000 };
        return number.checked_mul(factor);
    }
    let moment = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(jiff::tz::Offset::constant(8).to_timestamp(moment).ok()?.as_microsecond())
}

/// A handed-out key.
pub(super) struct Key {
    pub(super) hmac: hmac::Key,
    /// Which one it is, so that a refused one can be named.
    pub(super) number: u64,
    /// Microseconds UTC.
    ends: i64,
}

type Fetched = Result<Arc<Key>, Failure>;

/// The current key of one service.
pub(super) struct KeyRing {
    state: Mutex<State>,
    ahead_micros: i64,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Key>>,
    /// The call for a new key in progress.
    flight: Option<Shared<BoxFuture<'static, Fetched>>>,
    fetched: u64,
}

impl KeyRing {
    pub(super) fn new(ahead: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            ahead_micros: i64::try_from(ahead.as_micros()).unwrap_or(i64::MAX),
            tasks: TaskTracker::new(),
        })
    }

    /// A key that is good now and is not `refused`. `fetch` gives its bytes and end, and is called
    /// once however many ask; it runs on when its asker goes away, so it needs a deadline itself.
    pub(super) async fn key<F>(
        self: &Arc<Self>,
        refused: Option<u64>,
        fetch: impl FnOnce() -> F,
    ) -> Fetched
    where
        F: Future<Output = Result<(Vec<u8>, i64), Failure>> + Send + 'static,
    {
        let flight = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock::now_micros();
            let good = |key: &&Arc<Key>| refused != Some(key.number) && now < key.ends;
            let current = state.current.as_ref().filter(good).map(Arc::clone);
            if let Some(key) = &current
                && now < key.ends.saturating_sub(self.ahead_micros)
            {
                return Ok(Arc::clone(key));
            }
            let flight = match &state.flight {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.begin(fetch());
                    state.flight = Some(flight.clone());
                    flight
                }
            };
            match current {
                // Near its end, but good: the new one is under way.
                Some(key) => return Ok(key),
                None => flight,
            }
        };
        flight.await
    }

    fn begin<F>(self: &Arc<Self>, fetch: F) -> Shared<BoxFuture<'static, Fetched>>
    where
        F: Future<Output = Result<(Vec<u8>, i64), Failure>> + Send + 'static,
    {
        let ring = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let fetched = fetch.await;
            let mut state = ring.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.flight = None;
            let (bytes, ends) = fetched?;
            state.fetched += 1;
            let hmac = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
            let key = Arc::new(Key { hmac, number: state.fetched, ends });
            state.current = Some(Arc::clone(&key));
            Ok(key)
        });
        let ended = || Failure::new("the call for a key ended early", Duration::from_secs(5));
        async move { task.await.unwrap_or_else(|_| Err(ended())) }.boxed().shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    #[test]
    fn signatures_are_those_that_python_computes() {
        // hmac.new(b"0123456789abcdef", b"s_1100000000002_4521" b"rid-23" b"1700000000000", sha256)
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let signed = sign(&key, ("rid-23", "s_1100000000002_4521", "1700000000000"));
        assert_eq!(signed, "ecYcRGZz1bRRZYp7vEfz2obtaQkgcUzYhY2y4Bjj8As=");
    }

    #[test]
    fn secrets_that_openssl_encrypted_are_opened_in_both_modes() {
        let open = |cipher, secret| decrypt(cipher, b"0123456789abcdef", secret);
        assert_eq!(
            open(KeyCipher::AesEcb, "YFQ8qiB0Kya5uc60XpsxspjJIbmq6tZT1oGXRgcEzHY=").unwrap(),
            b"business-key-2026"
        );
        assert_eq!(
            open(
                KeyCipher::AesCbc,
                "AAECAwQFBgcICQoLDA0OD3XgIJZUHOZn2uMsjFsQ8LG+J7H82nYvC9ClzBP7+Rw0"
            )
            .unwrap(),
            b"business-key-2026"
        );
        for wrong in
            ["", "####", "AAAA", "AAECAwQFBgcICQoLDA0OD3XgIJZUHOZn2uMsjFsQ8LG+J7H82nYvC9ClzBP7+Rw0"]
        {
            assert!(open(KeyCipher::AesEcb, wrong).is_none(), "{wrong}");
        }
        assert!(
            decrypt(
                KeyCipher::AesEcb,
                b"too short",
                "YFQ8qiB0Kya5uc60XpsxspjJIbmq6tZT1oGXRgcEzHY="
            )
            .is_none()
        );
    }

    #[test]
    fn ends_are_read_in_each_form() {
        let micros = 1_767_225_600_000_000;
        for value in [
            json!(1_767_225_600_000_i64),
            json!("1767225600000"),
            json!(1_767_225_600),
            json!("2026-01-01 08:00:00"),
        ] {
            assert_eq!(end_time(&value), Some(micros), "{value}");
        }
        assert_eq!(end_time(&json!(null)), None);
        assert_eq!(end_time(&json!("soon")), None);
    }

    async fn asked(ring: &Arc<KeyRing>, calls: &Arc<AtomicUsize>, ends_in: i64) -> Fetched {
        let calls = Arc::clone(calls);
        ring.key(None, || async move {
            calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok((b"k".to_vec(), clock::now_micros() + ends_in * 1_000_000))
        })
        .await
    }

    #[tokio::test]
    async fn fifty_askers_at_once_cause_one_call() {
        let (ring, calls) = (KeyRing::new(Duration::from_secs(60)), Arc::default());
        let all = futures::future::join_all((0..50).map(|_| asked(&ring, &calls, 3600))).await;
        assert!(all.iter().all(|key| key.as_ref().is_ok_and(|key| key.number == 1)));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_key_near_its_end_serves_while_one_call_replaces_it() {
        let (ring, calls) = (KeyRing::new(Duration::from_secs(60)), Arc::default());
        assert_eq!(asked(&ring, &calls, 30).await.unwrap().number, 1);
        let all = futures::future::join_all((0..50).map(|_| asked(&ring, &calls, 3600))).await;
        assert!(all.iter().all(|key| key.as_ref().is_ok_and(|key| key.number == 1)));
        while asked(&ring, &calls, 3600).await.unwrap().number == 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_refused_key_is_replaced_and_a_failure_is_shared_but_not_kept() {
        let (ring, calls) = (KeyRing::new(Duration::ZERO), Arc::default());
        asked(&ring, &calls, 3600).await.unwrap();
        let fails = || async { Err(Failure::new("x", Duration::ZERO)) };
        let (a, b) = futures::join!(ring.key(Some(1), fails), ring.key(Some(1), fails));
        assert!(a.is_err() && b.is_err());
        let good = || async { Ok((b"n".to_vec(), i64::MAX)) };
        assert_eq!(ring.key(Some(1), good).await.ok().unwrap().number, 2);
    }
}
