//! Lets the statutory clocks speak: asks the store, every second, whose hour has come.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{model::clock, store::Store};

/// Most applications whose clocks speak within one transaction.
const PAGE: usize = 128;
/// How long between looks. Limits end at midnight; nobody waits for the second.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until `stop`. What is due when the gateway was down speaks when it is up again.
pub(super) async fn run(store: Arc<dyn Store>, stop: CancellationToken) {
    loop {
        let pause = match store.strike(clock::now_micros(), PAGE).await {
            // As many as asked for: there may be more. Others write in between.
            Ok(PAGE) => Duration::from_millis(5),
            Ok(_) => PAUSE,
            Err(error) => {
                tracing::error!(%error, "cannot look at the clocks");
                PAUSE * 5
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
