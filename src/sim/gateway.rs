//! Calls to the gateway: mutual TLS, a token bound to the certificate, and patience. A message
//! keeps its number over every repetition until the gateway's answer is understood, however often
//! the gateway is killed in between.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, header};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    model::trace::TraceContext,
    sim::{
        faults::{Fault, Faults},
        settings::Settings,
        voice::{Call, Said, Voice},
    },
    tls,
};

/// Longest one try may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait between tries; a killed gateway is back within a second.
const LONGEST_WAIT: Duration = Duration::from_millis(800);
/// Calls of one simulator in progress at once.
const AT_ONCE: usize = 48;
/// A token is used for this long; it is valid a little longer.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// The gateway as one party sees it.
pub(super) struct Gateway {
    client: Client,
    base: String,
    party: &'static str,
    audience: String,
    signer: EncodingKey,
    thumbprint: String,
    token: Mutex<Option<(String, Instant)>>,
    room: Semaphore,
    stop: CancellationToken,
}

impl Gateway {
    pub(super) fn new(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Self> {
        let config = tls::client(&settings.tls).map_err(|faults| {
            anyhow::anyhow!("{}", faults.first().map_or(String::new(), ToString::to_string))
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .connect_timeout(Duration::from_secs(3))
            .build()?;
        let certificate = CertificateDer::from_pem_file(&settings.tls.certificate)
            .with_context(|| format!("{} can't be read", settings.tls.certificate.display()))?;
        let key = std::fs::read(&settings.token_key)
            .with_context(|| format!("{} can't be read", settings.token_key.display()))?;
        Ok(Self {
            client,
            base: settings.gateway.clone(),
            party: settings.role.party(),
            audience: settings.audience.clone(),
            signer: EncodingKey::from_ed_pem(&key).context("token_key: is no Ed25519 key")?,
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
            token: Mutex::new(None),
            room: Semaphore::new(AT_ONCE),
            stop,
        })
    }

    /// Says it until the answer is understood: what it was, and how long the answered call took.
    /// Every try bears the trace of what it follows from.
    /// `None` only when the simulator stops.
    pub(super) async fn say(
        &self,
        voice: &dyn Voice,
        call: &Call,
        trace: &TraceContext,
        faults: &Faults,
    ) -> Option<(Said, Duration)> {
        let repeat = || self.repeat(voice, call, trace, faults);
        if let Some(held) = faults.lasts(Fault::Reorder) {
            tokio::time::sleep(held).await;
        }
        if faults.strikes(Fault::Duplicate) {
            let (one, two) = tokio::join!(repeat(), repeat());
            // Both must hear the same; a difference is told as a refusal that stands out.
            return match (one, two) {
                (Some(one), Some(two)) if one.0 == two.0 => Some(one),
                // A refusal keeps nothing. When the gateway dies between the two, the hub may be
                // silent the second time, and what cannot be told is a question: taken.
                (Some((Said::Refused(_), _)), Some(two)) if matches!(two.0, Said::Done(..)) => {
                    Some(two)
                }
                (Some(one), Some((Said::Refused(_), _))) if matches!(one.0, Said::Done(..)) => {
                    Some(one)
                }
                (Some(one), Some(_)) => {
                    Some((Said::Refused("TWO_ANSWERS_TO_ONE_MESSAGE".into()), one.1))
                }
                _ => None,
            };
        }
        repeat().await
    }

    async fn repeat(
        &self,
        voice: &dyn Voice,
        call: &Call,
        trace: &TraceContext,
        faults: &Faults,
    ) -> Option<(Said, Duration)> {
        let mut wait = Duration::from_millis(25);
        loop {
            let began = Instant::now();
            let asked = tokio::select! {
                () = self.stop.cancelled() => return None,
                asked = self.once(voice, call, trace, faults.lasts(Fault::Abandon)) => asked,
            };
            let pause = match asked {
                Ok(Said::Unclear) | Err(None) => wait,
                Ok(said) => return Some((said, began.elapsed())),
                Err(Some(asked)) => asked.min(LONGEST_WAIT * 2),
            };
            wait = (wait * 2).min(LONGEST_WAIT);
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One try: what was said, or after how long to try again.
    async fn once(
        &self,
        voice: &dyn Voice,
        call: &Call,
        trace: &TraceContext,
        abandon: Option<Duration>,
    ) -> Result<Said, Option<Duration>> {
        let _room = self.room.acquire().await.map_err(|_| None)?;
        let mut request = self
            .client
            .post(format!("{}{}", self.base, call.path))
            .bearer_auth(self.token().map_err(|_| None)?)
            .header(header::CONTENT_TYPE, call.content_type)
            .header("traceparent", trace.child().to_string())
            .timeout(abandon.unwrap_or(PATIENCE))
            .body(call.body.clone());
        if let Some(key) = &call.key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.map_err(|_| None)?;
        let status = response.status().as_u16();
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.bytes().await.map_err(|_| None)?;
        match status {
            401 => {
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(None)
            }
            408 | 429 | 500.. => Err(after.map(Duration::from_secs)),
            status => Ok(voice.said(call, status, &body)),
        }
    }

    /// Waits until the gateway answers: all windows open at once, and none before.
    pub(super) async fn open(&self) -> Option<()> {
        while self.get("applications?pageSize=1").await.is_err() {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(LONGEST_WAIT / 8) => {}
            }
        }
        Some(())
    }

    /// The application as the gateway tells it to one of its parties; asked until it is told.
    pub(super) async fn look(&self, application: &str) -> Option<Value> {
        let what = format!("applications/{application}");
        loop {
            let told = tokio::select! {
                () = self.stop.cancelled() => return None,
                told = self.get(&what) => told,
            };
            if let Ok(application) = told {
                return Some(application);
            }
            tokio::time::sleep(LONGEST_WAIT / 4).await;
        }
    }

    async fn get(&self, what: &str) -> anyhow::Result<Value> {
        let _room = self.room.acquire().await?;
        let asked = self
            .client
            .get(format!("{}/v1/{what}", self.base))
            .bearer_auth(self.token()?)
            .timeout(PATIENCE)
            .send()
            .await?;
        Ok(asked.error_for_status()?.json().await?)
    }

    /// A reading call that stays open: the events as they happen.
    pub(super) async fn watch(&self, after: &str) -> anyhow::Result<reqwest::Response> {
        let response = self
            .client
            .get(format!("{}/v1/applications:watch", self.base))
            .bearer_auth(self.token()?)
            .header(header::ACCEPT, "text/event-stream")
            .header("Last-Event-ID", after)
            .send()
            .await?;
        Ok(response.error_for_status()?)
    }

    fn token(&self) -> anyhow::Result<String> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, made)) = held.as_ref()
            && made.elapsed() < TOKEN_LIFE
        {
            return Ok(token.clone());
        }
        let now = jiff::Timestamp::now().as_second();
        let claims = serde_json::json!({
            "iss": self.party,
            "sub": "simulator",
            "aud": self.audience,
            "iat": now,
            "exp": now + 900,
            "jti": uuid::Uuid::new_v4().to_string(),
            "scope": "applications:submit applications:read applications:decide",
            "cnf": { "x5t#S256": self.thumbprint },
        });
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(format!("{}-1", self.party));
        let token = jsonwebtoken::encode(&header, &claims, &self.signer)?;
        *held = Some((token.clone(), Instant::now()));
        Ok(token)
    }
}
