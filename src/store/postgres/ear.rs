//! Tells the other gateways that something was committed, and hears it from them: by LISTEN and
//! NOTIFY where the database has them, and by looking twice a second in any case. Only the looking
//! is needed for correctness; the rest makes it quick.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::store::{
    StoreError,
    postgres::{
        connection::{Address, Connection},
        read,
        writer::News,
    },
};

/// How often the last event is looked up.
const LOOK: Duration = Duration::from_millis(500);
/// How long news gather before the others are told.
const GATHER: Duration = Duration::from_millis(10);

/// Runs until `stop`.
pub(super) async fn run(address: Arc<Address>, news: News, stop: CancellationToken) {
    let listening = async {
        loop {
            if let Err(error) = listen(&address, &news).await {
                tracing::warn!(%error, "news of other gateways cannot be heard; trying again");
            }
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listening => {}
    }
}

/// Listens on one connection until it fails.
async fn listen(address: &Address, news: &News) -> Result<(), StoreError> {
    let (ear, mut heard) = mpsc::channel(64);
    let mut connection = address.connect(Some(ear)).await?;
    let channel = channel(&mut connection).await?;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = heard.recv() => {
                let Some(told) = told else {
                    return Err(StoreError::Unavailable("the connection was cut".into()));
                };
                // The own voice is heard too; what it says is known.
                if let Some(("", last)) = told.split_once(&*channel.voice) {
                    tracing::trace!(last, "heard myself");
                } else {
                    let last = told.rsplit(' ').next().and_then(|last| last.parse().ok());
                    news.wake(last);
                }
            }
            () = news.tell.notified() => {
                sleep(GATHER).await;
                let text = format!("{}{}", channel.voice, *news.changed.borrow());
                connection.query("SELECT pg_notify($1, $2)", &[&channel.name, &text]).await?;
            }
            _ = looks.tick() => {
                let last = read::last(&mut connection).await?;
                if last > *news.changed.borrow() {
                    news.wake(Some(last));
                }
            }
        }
    }
}

struct Channel {
    /// One for each store: several may share a database, in a schema each.
    name: String,
    /// How the own messages begin.
    voice: String,
}

async fn channel(connection: &mut Connection) -> Result<Channel, StoreError> {
    let rows = connection.query("SELECT 'log'::regclass::oid", &[]).await?;
    let oid: Option<u32> = rows.first().map(|row| row.try_get(0)).transpose()?;
    let name = format!("tongban_{}", oid.unwrap_or_default());
    if let Err(error) = connection.client.batch_execute(&format!("LISTEN {name}")).await {
        let error = StoreError::from(error);
        tracing::warn!(%error, "the database has no LISTEN; news are looked for instead");
    }
    Ok(Channel { name, voice: format!("{} ", uuid::Uuid::new_v4().simple()) })
}
