//! STM: a marketplace for home services.
//!
//! [`start`] builds the whole application from a [`Config`]; the binaries only find the configuration and
//! serve the router. The map of the code is in `ARCHITECTURE.md`.

#![warn(unreachable_pub)]

mod accounts;
mod admin;
pub mod auth;
mod catalog;
pub mod chat;
pub mod config;
mod customers;
mod demo;
mod disputes;
mod error;
pub mod files;
mod idempotency;
pub mod jobs;
pub mod limits;
pub mod logs;
mod lsm;
mod mail;
mod notifications;
pub mod outbox;
mod payments;
mod providers;
pub mod realtime;
mod reviews;
mod routes;
mod service_requests;
mod serving;
pub mod sockets;
pub mod state;
pub mod supervision;
pub mod types;
mod web;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::middleware;
use doors::diagnose::connection_failure;
use doors::url::ConnectionString;
use doors::{Direct, Doors, Pooler};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use auth::{AccessTokens, Attempts, CodeKey, LiveLogins, Passwords, RefreshTokenLifetime, Supabase};
pub use config::Config;
use config::HttpLimits;
use files::{FileUrls, Files, Store};
use limits::{Doorkeeper, Limits};
use payments::Stripe;
pub use routes::openapi;
use serving::Server;
use sockets::Sockets;
use state::ApiState;
use supervision::{Health, Tasks};
use web::layers::{Site, around};

/// The maximum time of the whole drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

/// The running application: what serves, and what has to be stopped after it.
pub struct App {
    server: Server,
    worker: Tasks,
    sockets: Sockets,
    pooler: Pooler,
    direct: Direct,
    health: Health,
}

impl App {
    /// Serves REST, Socket.IO and documentation until `stopping`, then drains.
    pub async fn serve(self, listener: TcpListener, stopping: CancellationToken) {
        let serving = Tasks::new(&self.health);
        let (server, listener) = (self.server.clone(), Arc::new(listener));
        serving.start("connections", move |task| server.clone().accept(listener.clone(), task));
        let server = self.server.clone();
        serving.start("connection sweep", move |task| server.clone().sweep(task));
        stopping.cancelled().await;
        tracing::info!("draining");
        // Connections are accepted no more, and that is no failure.
        serving.stopping().cancel();
        let drained = async {
            tokio::join!(self.server.drain(), self.drain());
            // Whoever writes is let finish: its client may have gone, and so its connection.
            self.pooler.close().await;
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
        serving.abort().await;
        tracing::info!("stopped");
    }

    /// Stops the worker, stores the messages that were taken, closes every socket, and closes the direct connections.
    async fn drain(&self) {
        self.worker.finish().await;
        self.sockets.drain().await;
        self.direct.close().await;
    }
}

/// Connects both doors, migrates over the direct one, and mounts REST and Socket.IO on one router.
///
/// # Errors
/// A message for the operator: which secret is wrong, in what way, and what to put there. Never a secret.
pub async fn start(mut config: Config) -> anyhow::Result<App> {
    for name in ["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"] {
        if std::env::var_os(name).is_some() {
            tracing::warn!("{name} is set in the environment, and changes how both databases are reached. Unset it.");
        }
    }
    let ignored = [&config.database_url, &config.direct_url].map(ConnectionString::ignored_parameters);
    for warning in config.warnings.iter().chain(ignored.iter().flatten()) {
        tracing::warn!("{warning}");
    }
    config.http = http_limits(&config);
    // The other half is for those who have a token, and for REST.
    config.waiting_sockets.in_all = config.waiting_sockets.in_all.min(config.http.max_connections / 2);
    let (pooler, direct) = connect(&config).await?;
    let mut migrator = sqlx::migrate!();
    doors::migrate(&direct, &mut migrator).await.map_err(anyhow::Error::msg)?;
    doors::check_same_database(&pooler, &direct, &migrator).await.map_err(anyhow::Error::msg)?;
    if config.demo_data {
        demo::load(&direct).await.context("DEMO_DATA: the demo data could not be loaded")?;
    }

    let access_tokens = Arc::new(AccessTokens::new(&config.jwt_secret, config.access_token_expires_in));
    let live_logins = LiveLogins::default();
    let supabase = Supabase::new(config.supabase.as_ref())?;
    let admission = sockets::Admission {
        access_tokens: access_tokens.clone(),
        live_logins: live_logins.clone(),
        supabase: supabase.clone(),
        token_grace: config.socket_token_grace,
    };
    let health = Health::default();
    let store = Store::open(&config.storage)?;
    let file_urls = FileUrls::new(&config.jwt_secret, &config.public_url)?;
    let sockets = Sockets::start(direct.clone(), admission, &file_urls, &config, &health)
        .await
        .map_err(|error| anyhow!(connection_failure(&config.direct_url, &error)))?;
    let limits = Limits::new(config.quotas);
    let state = ApiState {
        pooler: pooler.clone(),
        access_tokens: access_tokens.clone(),
        live_logins,
        supabase: supabase.clone(),
        refresh_token_lifetime: RefreshTokenLifetime(chrono::Duration::from_std(config.refresh_token_expires_in)?),
        passwords: Passwords::default(),
        code_key: CodeKey::derive(&config.jwt_secret)?,
        files: Files::new(store.clone(), file_urls.clone(), config.scanner.clone()),
        file_urls,
        attempts: Attempts::new(&config.jwt_secret, config.quotas)?,
        limits: limits.clone(),
        connections: sockets.connections.clone(),
        notifier: sockets.notifier.clone(),
        stripe: config.stripe.take().map(Stripe::new).transpose().context("STRIPE_SECRET_KEY")?,
    };
    if let Some(admin) = &config.first_admin {
        accounts::first_admin::ensure(&pooler, &state.passwords, admin).await.context("ADMIN_EMAIL")?;
    }
    let is_local = config.database_url.is_loopback() && config.direct_url.is_loopback();
    let mail = mail::Sender::new(config.mail.as_ref(), is_local)?;
    let worker = worker::start(
        pooler.clone(),
        sockets.notifier.clone(),
        mail,
        state.stripe.clone(),
        limits.clone(),
        store,
        &health,
    );
    supabase.start(&worker);
    let parts = web::health::Parts { pooler: pooler.clone(), direct: direct.clone(), tasks: health.clone() };
    let doorkeeper = Doorkeeper::new(limits, move |headers| {
        let claims = auth::caller::bearer(headers).and_then(|token| access_tokens.verify(token));
        claims.map(|claims| claims.sub)
    });
    let statement_timeout = config.pooler.statement_timeout;
    let routes = routes::router(state, parts).layer(middleware::from_fn(move |request, next| {
        let doorkeeper = doorkeeper.clone();
        around(request, statement_timeout, |request| limits::admit(doorkeeper, request, next))
    }));
    let site = Site::new(routes.merge(sockets.routes.clone()), config.allowed_origins);
    let server =
        Server::new(site, config.http, config.trusted_proxies, config.heartbeat.interval + config.heartbeat.timeout);
    Ok(App { server, worker, sockets, pooler, direct, health })
}

/// The limits of connections, within what the process may open.
fn http_limits(config: &Config) -> HttpLimits {
    let to_databases = config.pooler.max_connections + config.direct.max_connections;
    let fit = serving::connections_that_fit(usize::try_from(to_databases).unwrap_or(usize::MAX));
    if fit < config.http.max_connections {
        tracing::warn!(
            "MAX_CONNECTIONS is {}, but the limit of open files allows {fit}: raise it with `ulimit -n`",
            config.http.max_connections
        );
    }
    HttpLimits { max_connections: config.http.max_connections.min(fit), ..config.http }
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
    tracing::info!("{}", pooler.limits_in_words());
    Ok((pooler, direct))
}
