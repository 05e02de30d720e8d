//! The Shuttle entry: secrets in, application out. The only file that knows Shuttle.

use anyhow::anyhow;
use shuttle_axum::ShuttleAxum;
use shuttle_runtime::SecretStore;
use stm_backend::Config;

#[shuttle_runtime::main]
async fn main(#[shuttle_runtime::Secrets] secrets: SecretStore) -> ShuttleAxum {
    let config = Config::from_lookup(|name| secrets.get(name)).map_err(anyhow::Error::from)?;
    // Shuttle prints only the outermost message of an error, so the causes go into it.
    let app = stm_backend::start(config).await.map_err(|error| anyhow!("{error:#}"))?;
    // Shuttle binds the address itself, and drops the service when it stops.
    let port = std::env::var("SHUTTLE_RUNTIME_PORT").unwrap_or_else(|_| "8000".into());
    tracing::info!("STM Backend running at port {port}");
    Ok(app.router.into())
}
