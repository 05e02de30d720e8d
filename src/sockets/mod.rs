//! The socket server: everything that listens to clients over Socket.IO, and to the database's notifications.

pub mod asyncapi;
mod changes;
mod events;
mod handshake;
mod lifetime;
mod queries;
mod request_head;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use socketioxide::SocketIo;
use tokio::sync::Notify;

use crate::auth::{AccessTokens, LiveLogins, Supabase};
use crate::chat::live::{self, ReadMarks, Rooms, WRITERS, Writer, cursor_store, presence};
use crate::config::{Config, Heartbeat};
use crate::files::FileUrls;
use crate::outbox::Notifier;
use crate::realtime::{Bulkhead, Connections, Limits};
use crate::state::SocketState;
use crate::supervision::{Health, Task, Tasks};
use doors::{Direct, Meaning};
use waiting::WaitingSockets;

/// The paths of every socket.
const PATHS: [&str; 3] = ["/socket.io", "/socket.io/", "/socket.io/{*rest}"];

/// The one namespace.
const NAMESPACE: &str = "/chat";

/// The largest event a client may send, in bytes. It is announced, and said to whoever exceeds it.
pub(crate) const MAX_EVENT_BYTES: usize = 64 * 1024;

/// The largest packet that is read, in bytes, so that an event which is too large can be answered. Beyond it the
/// connection is closed.
const MAX_PACKET_BYTES: usize = 4 * MAX_EVENT_BYTES;

/// How many packets may wait for a socket whose client reads slowly. Larger than what the writers can acknowledge at
/// once to one socket; messages beyond it are fed again later.
const MAX_BUFFERED_PACKETS: usize = 1024;

/// What is read from a websocket at a time, kept for every socket: most packets fit.
const READ_BUFFER_BYTES: usize = 1024;

/// How long a connection may take to enter the namespace, and so how long one with a bad token is kept: its socket's memory
/// for as long even if it is cut.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the messages that were taken may take at the end: a little more than a message may wait.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);

/// How long closing all sockets may take: a peer whose TCP connection has stalled never answers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long saving the cursors may take at the end.
const SAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// What decides who may connect.
#[derive(Debug)]
pub struct Admission {
    pub access_tokens: Arc<AccessTokens>,
    pub live_logins: LiveLogins,
    pub supabase: Supabase,
    /// How long after its expiry a token of a live login still opens a socket.
    pub token_grace: Duration,
}

/// The running socket server.
#[derive(Clone)]
pub struct Sockets {
    /// The paths of sockets.
    pub routes: Router,
    pub connections: Connections,
    pub notifier: Notifier,
    io: SocketIo,
    rooms: Rooms,
    bulkhead: Bulkhead,
    writers: Arc<Tasks>,
    tasks: Arc<Tasks>,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sockets")
    }
}

impl Sockets {
    /// Starts the message writers and what follows the database, and opens the namespace.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn start(
        direct: Direct,
        admission: Admission,
        file_urls: &FileUrls,
        config: &Config,
        health: &Health,
    ) -> sqlx::Result<Self> {
        // One more is for the listener.
        let bulkhead = Bulkhead::new(direct.clone(), WRITERS + 1);
        match bulkhead.run(async |direct| live::queries::mark_all_dropped(direct).await).await {
            // The next start marks them instead.
            Err(error) if doors::meaning(&error) == Meaning::ReadOnly => {
                tracing::warn!("the database is read-only: reads are served, and writes are refused");
            }
            marked => marked?,
        }
        let rooms = Rooms::new(bulkhead.clone(), file_urls.clone(), config.heartbeat);
        let connections = Connections::default();
        let outcome_unknown = Arc::new(Notify::new());
        let (writers, tasks) = (Tasks::new(health), Tasks::new(health));
        let writer = Writer::start(&writers, &direct, &bulkhead, &rooms, &connections, &outcome_unknown);
        let notifier = Notifier::new(connections.clone(), rooms.clone());
        let state = SocketState {
            bulkhead: bulkhead.clone(),
            access_tokens: admission.access_tokens,
            live_logins: admission.live_logins,
            supabase: admission.supabase,
            token_grace: admission.token_grace,
            file_urls: file_urls.clone(),
            writer,
            read_marks: ReadMarks::start(&tasks, bulkhead.clone(), rooms.clone()),
            rooms: rooms.clone(),
            connections: connections.clone(),
            limits: Limits::default(),
            notifier: notifier.clone(),
        };
        start_tasks(&tasks, &state, direct, outcome_unknown);
        let (routes, io) = build_routes(state, config.heartbeat, WaitingSockets::new(config.waiting_sockets));
        handshake::open_namespace(&io);
        let (writers, tasks) = (Arc::new(writers), Arc::new(tasks));
        Ok(Self { routes, connections, notifier, io, rooms, bulkhead, writers, tasks })
    }

    /// Stops taking messages, answers those taken, and closes every socket's transport, so that clients reconnect
    /// elsewhere.
    pub async fn drain(&self) {
        if tokio::time::timeout(DRAIN_TIMEOUT, self.writers.finish()).await.is_err() {
            tracing::warn!("some messages were not stored in time");
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, self.io.close()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
        self.tasks.abort().await;
        // For the process to which the clients come back.
        if tokio::time::timeout(SAVE_TIMEOUT, cursor_store::save(&self.rooms, &self.bulkhead)).await.is_err() {
            tracing::warn!("the cursors were not saved in time");
        }
    }
}

/// Starts what follows the database and the sockets.
fn start_tasks(tasks: &Tasks, state: &SocketState, direct: Direct, outcome_unknown: Arc<Notify>) {
    let SocketState { rooms, bulkhead, connections, limits, .. } = state.clone();
    let followed = state.clone();
    tasks
        .start("changes", move |task| changes::follow(direct.clone(), followed.clone(), outcome_unknown.clone(), task));
    let emitted = rooms.clone();
    tasks.start("chat events", move |task| live::events::run(emitted.clone(), task));
    let saved_by = bulkhead.clone();
    tasks.start("cursors", move |task| cursor_store::run(rooms.clone(), saved_by.clone(), task));
    tasks.start("presence", move |task| presence::run(connections.clone(), bulkhead.clone(), task));
    let watched = state.clone();
    tasks.start("lifetimes of sockets", move |task| lifetime::watch(watched.clone(), task));
    tasks.start("session sweep", move |task| forget_the_quiet(limits.clone(), task));
}

/// The engine, and the routes that lead to it: one engine for all of them.
fn build_routes(state: SocketState, heartbeat: Heartbeat, waiting: WaitingSockets) -> (Router, SocketIo) {
    let (service, io) = SocketIo::builder()
        .with_state(state)
        .ws_max_message_size(MAX_PACKET_BYTES)
        .ws_max_frame_size(MAX_PACKET_BYTES)
        .max_payload(MAX_PACKET_BYTES as u64)
        .ws_read_buffer_size(READ_BUFFER_BYTES)
        .max_buffer_size(MAX_BUFFERED_PACKETS)
        .connect_timeout(CONNECT_TIMEOUT)
        .ping_interval(heartbeat.interval)
        .ping_timeout(heartbeat.timeout)
        .build_svc();
    let routes = PATHS.into_iter().fold(Router::new(), |routes, path| routes.route_service(path, service.clone()));
    (routes.layer(middleware::from_fn_with_state(waiting, waiting::admit)), io)
}

/// Forgets the limits of users who are quiet.
async fn forget_the_quiet(limits: Limits, task: Arc<Task>) -> anyhow::Result<()> {
    let mut every_minute = tokio::time::interval(Duration::from_secs(60));
    loop {
        every_minute.tick().await;
        limits.forget_the_quiet();
        task.works();
    }
}
