//! The Shuttle entry: secrets in, application out. The only file that knows Shuttle.

use anyhow::Context as _;
use shuttle_axum::ShuttleAxum;
use shuttle_runtime::SecretStore;
use stm_backend::Config;

#[shuttle_runtime::main]
async fn main(#[shuttle_runtime::Secrets] secrets: SecretStore) -> ShuttleAxum {
    let config = Config::from_lookup(|name| secrets.get(name)).map_err(anyhow::Error::from)?;
    let app = stm_backend::start(config)
        .await
        .context("the application did not start")?;
    // Shuttle binds the address itself, and drops the service when it is told to stop.
    tracing::info!("STM Backend running at port 8000");
    Ok(app.router.into())
}
