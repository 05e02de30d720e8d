//! STM: a marketplace for home services.
//!
//! [`start`] builds the whole application from a [`Config`]; the binaries only find the configuration and
//! serve the router. The map of the code is in `ARCHITECTURE.md`.

pub mod auth;
pub mod catalog;
pub mod chat;
pub mod config;
pub mod customers;
pub mod db;
mod demo;
pub mod disputes;
pub mod error;
pub mod idempotency;
pub mod jobs;
pub mod negotiation;
pub mod notifications;
pub mod outbox;
pub mod providers;
pub mod realtime;
pub mod reviews;
mod routes;
pub mod service_requests;
pub mod sockets;
pub mod state;
pub mod types;
pub mod web;
mod worker;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use axum::Router;

use auth::{AccessTokens, Passwords, RefreshTokenLifetime};
pub use config::Config;
use db::probe::{self, Pooling};
use db::url::{ConnectionString, Secret};
use db::{Direct, Pooler, diagnose};
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
    db::migrate(&direct).await.map_err(|message| anyhow!(message))?;
    db::check_same_database(&pooler, &direct).await.map_err(|message| anyhow!(message))?;
    if config.demo_data {
        demo::load(&direct).await.context("DEMO_DATA: the demo data could not be loaded")?;
    }

    let access_tokens = Arc::new(AccessTokens::new(&config.jwt_secret, config.access_token_expires_in));
    let sockets = Sockets::start(direct.clone(), access_tokens.clone(), config.heartbeat)
        .await
        .map_err(|error| refusal(&config.direct_url, &error))?;
    let state = ApiState {
        pooler: pooler.clone(),
        access_tokens,
        refresh_token_lifetime: RefreshTokenLifetime(chrono::Duration::from_std(config.refresh_token_expires_in)?),
        passwords: Passwords::default(),
        connections: sockets.connections.clone(),
        notifier: sockets.notifier.clone(),
    };
    let worker = Worker::start(pooler.clone(), sockets.notifier.clone());
    let doors = web::health::Doors { pooler, direct: direct.clone() };
    let router = web::layers::around_routes(routes::router(state, doors))
        .layer(sockets.layer.clone())
        .layer(web::layers::cors(config.allowed_origins));
    Ok(App { router, worker, sockets, direct })
}

/// Probes both connection strings at the same time, then prepares both doors.
async fn connect(config: &Config) -> anyhow::Result<(Pooler, Direct)> {
    let (database_url, direct_url) = (&config.database_url, &config.direct_url);
    let (pooler, direct) = tokio::join!(probe::pooling(database_url), probe::pooling(direct_url));
    let pooler = pooler.map_err(|error| refusal(database_url, &error));
    let direct = direct.map_err(|error| refusal(direct_url, &error));
    // Both told at once: one start less for whoever has two to mend.
    let (pooler, direct) = match (pooler, direct) {
        (Err(first), Err(second)) => return Err(anyhow!("{first}\n{second}")),
        (pooler, direct) => (pooler?, direct?),
    };
    check_direct(direct, pooler)?;
    if pooler == Pooling::Session {
        tracing::warn!(
            "DATABASE_URL is not a transaction pooler: each of up to {} connections holds a server of its own. {}",
            config.pooler_max_connections,
            Secret::DatabaseUrl.what_to_put()
        );
    }
    let pooler = Pooler::new(database_url, config.pooler_max_connections, config.statement_timeout, config.pooler_wire)
        .map_err(|problem| anyhow!(problem))?;
    let direct = Direct::new(direct_url, config.direct_max_connections, config.statement_timeout)
        .map_err(|problem| anyhow!(problem))?;
    let (pooler_answers, direct_answers) = tokio::join!(pooler.ping(), direct.ping());
    pooler_answers
        .map_err(|error| anyhow!(diagnose::first_statement_failure(database_url, config.pooler_wire, &error)))?;
    tracing::info!("✅ Connected to transaction pooler (REST API)");
    direct_answers.map_err(|error| refusal(direct_url, &error))?;
    tracing::info!("✅ Connected to direct connection (Real-time/Socket.IO)");
    tracing::info!("statements travel to the transaction pooler {} (POOLER_WIRE)", config.pooler_wire);
    Ok((pooler, direct))
}

fn refusal(url: &ConnectionString, error: &sqlx::Error) -> anyhow::Error {
    anyhow!(diagnose::connection_failure(url, error))
}

/// Chat and migrations need a session: a transaction pooler in its place is the commonest mistake.
fn check_direct(direct: Pooling, pooler: Pooling) -> anyhow::Result<()> {
    match (direct, pooler) {
        (Pooling::Session, _) => Ok(()),
        (Pooling::Transaction, Pooling::Session) => Err(anyhow!(
            "DATABASE_URL and DIRECT_URL are swapped: DIRECT_URL is a transaction pooler, and DATABASE_URL is not one. Exchange their values."
        )),
        (Pooling::Transaction, Pooling::Transaction) => Err(anyhow!(
            "DIRECT_URL is a transaction pooler, but Socket.IO and migrations need a session. {}",
            Secret::DirectUrl.what_to_put()
        )),
    }
}
