//! Stand-ins for the systems no one outside can reach: the national hub, the own provincial
//! platform and a neighbouring province, each run as its own process.
//!
//! They write and read their documents by hand, as those systems would, and share no translation
//! code with the gateway: a mistake in a mapping must not cancel itself out. What they did is in
//! their books, and the demo counts from nothing else. Depends on model, config, telemetry, tls.

mod body;
mod books;
mod by_hand;
mod case;
mod cast;
mod claim;
mod cycle;
mod decide;
mod desk;
mod dice;
mod exchange;
mod fates;
pub mod faults;
mod forms;
mod gateway;
mod json;
mod library;
mod marry_service;
mod national;
mod national_forms;
mod national_reading;
mod more_forms;
mod people;
mod platform;
mod platform_forms;
mod platform_reading;
mod province;
mod province_api;
mod province_forms;
mod province_reading;
mod reconciliation;
mod registry;
mod regulation;
mod script;
mod seal;
mod serve;
pub mod settings;
mod voice;
mod watch;
mod work;
mod xml;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    sim::{
        desk::Desk, national::National, platform::Platform, province::Province, settings::Role,
        settings::Settings, voice::Voice,
    },
    tls,
};

/// Runs one simulator until `stop`.
///
/// # Errors
/// What in the settings or their files cannot be used.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    tls::install_provider();
    let voice: Box<dyn Voice> = match settings.role {
        Role::National => Box::new(National::new(&settings)?),
        Role::Platform => Box::new(Platform::new(&settings)?),
        Role::Province => Box::new(Province::new(&settings)?),
    };
    let desk = Arc::new(Desk::new(settings, voice, stop.clone())?);
    serve::run(desk, stop).await
}
