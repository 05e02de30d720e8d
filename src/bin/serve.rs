//! The application as an ordinary process: configured by the environment, or by `Secrets.dev.toml` or
//! `Secrets.toml` in the working directory; listens on HOST and PORT; drains on SIGTERM and SIGINT.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::serve::ListenerExt as _;
use stm_backend::config::setting;
use stm_backend::{App, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The maximum time of the whole drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

#[tokio::main]
async fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx::postgres::notice=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal())
        .init();
    match Box::pin(run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("STM Backend cannot run:\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    // From here on, a signal ends the process cleanly, even during the start.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopping = CancellationToken::new();
    let stop = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });

    let secrets = read_secrets()?;
    let lookup =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| secrets.get(name).cloned());
    let config = Config::from_lookup(lookup)?;
    let address = read_address(lookup)?;
    let stall_timeout = config.heartbeat.interval + config.heartbeat.timeout;
    let app = tokio::select! {
        started = stm_backend::start(config) => started?,
        () = stopping.cancelled() => return Ok(()),
    };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("HOST and PORT: cannot listen at {address}"))?;
    let port = listener.local_addr()?.port();
    let listener = listener.tap_io(move |connection| {
        // Chat packets are small and must not be delayed by Nagle's algorithm.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        // Cuts off a peer that reads nothing for this long: socketioxide cannot close a websocket during a write.
        #[cfg(target_os = "linux")]
        if let Err(error) = socket2::SockRef::from(&*connection).set_tcp_user_timeout(Some(stall_timeout)) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT");
        }
    });
    tracing::info!("STM Backend running at port {port}");
    serve(listener, app, stopping).await
}

async fn serve<L>(listener: L, app: App, stopping: CancellationToken) -> anyhow::Result<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let served = axum::serve(listener, app.router.clone()).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let server = tokio::spawn(served.into_future());
    stopping.cancelled().await;
    tracing::info!("draining");
    let drained = async {
        app.drain().await;
        server.await
    };
    if let Ok(served) = tokio::time::timeout(DRAIN_TIMEOUT, drained).await {
        served??;
    } else {
        tracing::warn!("some connections did not close in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Reads `HOST` and `PORT`.
fn read_address(lookup: impl Fn(&str) -> Option<String>) -> anyhow::Result<SocketAddr> {
    let host: IpAddr = setting(&lookup, "HOST")
        .unwrap_or_else(|| "0.0.0.0".into())
        .parse()
        .map_err(|_| anyhow!("HOST must be an IP address, such as 127.0.0.1 or 0.0.0.0."))?;
    let port: u16 = setting(&lookup, "PORT")
        .unwrap_or_else(|| "8000".into())
        .parse()
        .map_err(|_| anyhow!("PORT must be a port number."))?;
    Ok(SocketAddr::new(host, port))
}

/// Reads the first of `Secrets.dev.toml` and `Secrets.toml` that exists. Both may be missing.
fn read_secrets() -> anyhow::Result<HashMap<String, String>> {
    for file in ["Secrets.dev.toml", "Secrets.toml"] {
        match std::fs::read_to_string(file) {
            // The parser's message may quote a line with a secret, so only the position is shown.
            Ok(text) => {
                return toml::from_str(&text).map_err(|error| {
                    anyhow!("{file} is not a table of strings (byte {}).", error.span().map_or(0, |span| span.start))
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{file} cannot be read")),
        }
    }
    Ok(HashMap::new())
}
