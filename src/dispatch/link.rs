//! One exchange with a party: what is sent, and what comes back or how it failed. Over HTTPS with
//! mutual TLS, but in a simulation. Knows no format and no store.

use std::time::Duration;

use reqwest::{Client, StatusCode, header};

use crate::{
    config::{Config, Party},
    failpoint::{self, Step},
    model::fault::Fault,
    tls,
};

/// What is sent: a document, or a question when there is none.
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) document: Option<Vec<u8>>,
    /// The type of the document, or of the answer that is asked for.
    pub(crate) content_type: &'static str,
    pub(crate) traceparent: String,
    /// Longest the whole exchange may take.
    pub(crate) patience: Duration,
    /// Most bytes read of the answer.
    pub(crate) most: usize,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    /// The whole body; `None` when it was cut short or too long.
    pub(crate) body: Option<Vec<u8>>,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There was no connection: nothing was sent.
    NotConnected,
    /// Nothing within the time; what was sent may have arrived.
    Late,
    /// The connection broke; what was sent may have arrived.
    Broken,
}

/// The way to a party.
pub(crate) enum Link {
    Https(Client),
    #[cfg(test)]
    Simulated(std::sync::Arc<dyn Simulated>),
}

/// A network that is played.
#[cfg(test)]
#[async_trait::async_trait]
pub(crate) trait Simulated: Send + Sync {
    async fn exchange(&self, call: Call) -> Result<Reply, Failure>;
}

impl Link {
    pub(crate) fn https(config: &Config, party: &Party) -> Result<Self, Vec<Fault>> {
        let attempt = Duration::from_millis(config.dispatch.attempt_ms);
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client(&config.tls)?)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(attempt.min(Duration::from_secs(5)))
            .pool_idle_timeout(Duration::from_secs(60))
            // Over HTTP/2 all requests share a connection: one whose other end has gone without a
            // word would fail them all, for ever.
            .http2_keep_alive_interval(attempt)
            .http2_keep_alive_timeout(attempt)
            .http2_keep_alive_while_idle(true)
            .build()
            .map_err(|error| vec![Fault::new(&party.path, 0, format!("no client: {error}"))])?;
        Ok(Self::Https(client))
    }

    pub(super) async fn exchange(&self, call: Call) -> Result<Reply, Failure> {
        match self {
            Self::Https(client) => over_https(client, call).await,
            #[cfg(test)]
            Self::Simulated(network) => network.exchange(call).await,
        }
    }
}

async fn over_https(client: &Client, call: Call) -> Result<Reply, Failure> {
    let is_message = call.document.is_some();
    let request = match call.document {
        Some(document) => {
            client.post(call.url).header(header::CONTENT_TYPE, call.content_type).body(document)
        }
        None => client.get(call.url).header(header::ACCEPT, call.content_type),
    };
    let request = request.header("traceparent", call.traceparent).timeout(call.patience);
    let sent = async {
        request.send().await.map_err(|error| match error {
            error if error.is_connect() => Failure::NotConnected,
            error if error.is_timeout() => Failure::Late,
            _ => Failure::Broken,
        })
    };
    // The steps that tests make fail are those of a message, not those of a question about one.
    let response = match is_message {
        true => failpoint::at(Step::Send, |_| Failure::Broken, sent).await?,
        false => sent.await?,
    };
    let (status, retry_after) = (response.status(), retry_after(&response));
    let body = async { read(response, call.most).await.ok_or(()) };
    let body = match is_message {
        true => failpoint::at(Step::Read, drop, body).await.ok(),
        false => body.await.ok(),
    };
    Ok(Reply { status, retry_after, body })
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let header = response.headers().get(header::RETRY_AFTER)?;
    header.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The whole answer; `None` when it is cut short or longer than `most`.
async fn read(mut response: reqwest::Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > most {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
