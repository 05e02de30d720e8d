//! The application as an ordinary process: configured by the environment, or by `Secrets.dev.toml` or
//! `Secrets.toml` in the working directory; listens on HOST and PORT; drains on SIGTERM and SIGINT.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use stm_backend::Config;
use stm_backend::config::setting;
use stm_backend::logs::Log;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns what is free to the system within seconds, by threads of its own.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let log = Log::start();
    let ended = Box::pin(run()).await;
    let status = if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    log.finish(ended.err().map(|error| format!("STM Backend cannot run:\n{error:#}")));
    status
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
    let app = tokio::select! {
        started = stm_backend::start(config) => started?,
        () = stopping.cancelled() => return Ok(()),
    };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("HOST and PORT: cannot listen at {address}"))?;
    tracing::info!("STM Backend running at port {}", listener.local_addr()?.port());
    app.serve(listener, stopping).await;
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
