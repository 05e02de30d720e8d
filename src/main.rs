//! The Shuttle entry: secrets in, application out. The only file that knows Shuttle.

use std::net::SocketAddr;

use anyhow::anyhow;
use shuttle_runtime::{CustomError, SecretStore};
use stm_backend::logs::Log;
use stm_backend::{App, Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Returns what is free to the system within seconds, by threads of its own.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The application as Shuttle runs it.
struct Backend(App);

#[shuttle_runtime::main]
async fn main(#[shuttle_runtime::Secrets] secrets: SecretStore) -> Result<Backend, shuttle_runtime::Error> {
    let _log = Log::start();
    let config = Config::from_lookup(|name| secrets.get(name)).map_err(anyhow::Error::from)?;
    // Shuttle prints only the outermost message of an error, so the causes go into it.
    let app = stm_backend::start(config).await.map_err(|error| anyhow!("{error:#}"))?;
    Ok(Backend(app))
}

#[shuttle_runtime::async_trait]
impl shuttle_runtime::Service for Backend {
    async fn bind(mut self, address: SocketAddr) -> Result<(), shuttle_runtime::Error> {
        let listener = TcpListener::bind(address).await.map_err(CustomError::new)?;
        tracing::info!("STM Backend running at port {}", address.port());
        // Shuttle drops the service when it stops.
        self.0.serve(listener, CancellationToken::new()).await;
        Ok(())
    }
}
