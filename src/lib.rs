//! STM: a marketplace for home services.
//!
//! [`start`] builds the whole application from a [`Config`]; the binaries only find the configuration and
//! serve the router. The map of the code is in `ARCHITECTURE.md`.

#![warn(unreachable_pub)]

pub mod auth;
mod catalog;
pub mod chat;
pub mod config;
mod customers;
mod demo;
mod disputes;
mod error;
mod idempotency;
pub mod jobs;
mod notifications;
pub mod outbox;
mod providers;
pub mod realtime;
mod reviews;
mod routes;
mod service_requests;
pub mod sockets;
pub mod state;
pub mod types;
mod web;
mod worker;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use axum::Router;
use doors::diagnose::connection_failure;
use doors::url::ConnectionString;
use doors::{Direct, Doors, Pooler};

use auth::{AccessTokens, LiveLogins, Passwords, RefreshTokenLifetime};
pub use config::Config;
pub use routes::openapi;
use sockets::Sockets;
use state::ApiState;
use worker::Worker;

/// The running application: a router to serve, and what has to be stopped after it.
#[derive(Debug)]
pub struct App {
    /// REST, Socket.IO and documentation.
    pub router: Router,
    worker: Worker,
    sockets: Sockets,
    direct: Direct,
}

impl App {
    /// Stops the worker, stores the messages that were taken, closes every socket, and closes the direct connections.
    pub async fn drain(&self) {
        self.worker.stop().await;
        self.sockets.drain().await;
        self.direct.close().await;
    }
}

/// Connects both doors, migrates over the direct one, and mounts REST and Socket.IO on one router.
///
/// # Errors
/// A message for the operator: which secret is wrong, in what way, and what to put there. Never a secret.
pub async fn start(config: Config) -> anyhow::Result<App> {
    for name in ["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"] {
        if std::env::var_os(name).is_some() {
            tracing::warn!("{name} is set in the environment, and changes how both databases are reached. Unset it.");
        }
    }
    let ignored = [&config.database_url, &config.direct_url].map(ConnectionString::ignored_parameters);
    for warning in config.warnings.iter().chain(ignored.iter().flatten()) {
        tracing::warn!("{warning}");
    }
    let (pooler, direct) = connect(&config).await?;
    let mut migrator = sqlx::migrate!();
    doors::migrate(&direct, &mut migrator).await.map_err(anyhow::Error::msg)?;
    doors::check_same_database(&pooler, &direct, &migrator).await.map_err(anyhow::Error::msg)?;
    if config.demo_data {
        demo::load(&direct).await.context("DEMO_DATA: the demo data could not be loaded")?;
    }

    let access_tokens = Arc::new(AccessTokens::new(&config.jwt_secret, config.access_token_expires_in));
    let live_logins = LiveLogins::default();
    let admission = sockets::Admission {
        access_tokens: access_tokens.clone(),
        live_logins: live_logins.clone(),
        token_grace: config.socket_token_grace,
    };
    let sockets = Sockets::start(direct.clone(), admission, config.heartbeat)
        .await
        .map_err(|error| anyhow!(connection_failure(&config.direct_url, &error)))?;
    let state = ApiState {
        pooler: pooler.clone(),
        access_tokens,
        live_logins,
        refresh_token_lifetime: RefreshTokenLifetime(chrono::Duration::from_std(config.refresh_token_expires_in)?),
        passwords: Passwords::default(),
        connections: sockets.connections.clone(),
        notifier: sockets.notifier.clone(),
    };
    let worker = Worker::start(pooler.clone(), sockets.notifier.clone());
    let both = web::health::Doors { pooler, direct: direct.clone() };
    let router = web::layers::around_routes(routes::router(state, both))
        .layer(sockets.layer.clone())
        .layer(web::layers::cors(config.allowed_origins));
    Ok(App { router, worker, sockets, direct })
}

/// Opens both doors, and says so.
async fn connect(config: &Config) -> anyhow::Result<(Pooler, Direct)> {
    let opened = doors::connect(&config.database_url, &config.pooler, &config.direct_url, &config.direct).await;
    let Doors { pooler, direct, warnings } = opened.map_err(anyhow::Error::msg)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("✅ Connected to transaction pooler (REST API)");
    tracing::info!("✅ Connected to direct connection (Real-time/Socket.IO)");
    tracing::info!("statements travel to the transaction pooler {} (POOLER_WIRE)", config.pooler.wire);
    Ok((pooler, direct))
}
