//! The socket server: Socket.IO over the direct connection.
//!
//! Everything that is emitted goes to a user's sockets ([`connections`]) or to those in a chat ([`rooms`]): with
//! more than one process, these are the two places to change.

pub mod asyncapi;
mod changes;
pub mod connections;
mod handshake;
pub mod limits;
mod queries;
pub mod readings;
pub mod reads;
mod records;
pub mod reply;
pub mod rooms;
pub mod session;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::layer::SocketIoLayer;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use crate::auth::AccessTokens;
use crate::config::Heartbeat;
use crate::notifications::Notifier;
use crate::state::SocketState;
use connections::Connections;
use doors::Direct;
use limits::Limits;
use readings::Readings;
use reads::Reads;
use rooms::Rooms;
use writer::Writer;

/// The one namespace.
pub const NAMESPACE: &str = "/chat";

/// The largest packet a client may send, in bytes.
const MAX_PACKET_BYTES: usize = 64 * 1024;

/// How many packets may wait for a socket whose client reads slowly. Larger than what the writers can settle at
/// once for one socket, so that acknowledgements fit; messages beyond it are fed again later.
const MAX_BUFFERED_PACKETS: usize = 1024;

/// What is read from a websocket at a time, kept for every socket: most packets fit.
const READ_BUFFER_BYTES: usize = 1024;

/// How long a connection may take to enter the namespace, and so how long one with a bad token is kept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a heartbeat's interval and time-out may take beyond their sum before a dead connection is noticed.
const HEARTBEAT_MARGIN: Duration = Duration::from_secs(5);

/// How long settling what was taken may take: a little more than a message may wait.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);

/// How long closing all sockets may take: a peer whose TCP connection has stalled never answers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the last records may take at the end.
const RECORD_TIMEOUT: Duration = Duration::from_millis(500);

/// The running socket server.
#[derive(Clone)]
pub struct Realtime {
    /// To be put around the router.
    pub layer: SocketIoLayer,
    /// The connected users.
    pub connections: Connections,
    /// Tells what was committed.
    pub notifier: Notifier,
    io: SocketIo,
    rooms: Rooms,
    readings: Readings,
    writer: Writer,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl std::fmt::Debug for Realtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Realtime")
    }
}

impl Realtime {
    /// Starts the message writers and what follows the database, and opens the namespace.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn start(direct: Direct, access_tokens: Arc<AccessTokens>, heartbeat: Heartbeat) -> sqlx::Result<Self> {
        // One more is for the listener.
        let readings = Readings::new(direct.clone(), writer::WRITERS + 1);
        readings.run(async |direct| queries::drop_all_connected(direct).await).await?;
        let rooms = Rooms::new(readings.clone(), heartbeat);
        let connections = Connections::default();
        let doubt = Arc::new(Notify::new());
        let writer = Writer::start(&direct, &readings, &rooms, &connections, &doubt);
        let notifier = Notifier::new(connections.clone(), rooms.clone());
        let state = SocketState {
            readings: readings.clone(),
            access_tokens,
            writer: writer.clone(),
            reads: Reads::start(readings.clone(), rooms.clone()),
            rooms: rooms.clone(),
            connections: connections.clone(),
            limits: Limits::default(),
            notifier: notifier.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(changes::follow(direct, state.clone(), doubt));
        tasks.spawn(records::keep(state.clone()));
        tasks.spawn(records::tell_presence(state.clone()));
        tasks.spawn(end_expired(state.clone()));
        let (layer, io) = SocketIo::builder()
            .with_state(state)
            .ws_max_message_size(MAX_PACKET_BYTES)
            .ws_max_frame_size(MAX_PACKET_BYTES)
            .max_payload(MAX_PACKET_BYTES as u64)
            .ws_read_buffer_size(READ_BUFFER_BYTES)
            .max_buffer_size(MAX_BUFFERED_PACKETS)
            .connect_timeout(CONNECT_TIMEOUT)
            .ping_interval(heartbeat.interval)
            .ping_timeout(heartbeat.timeout)
            .build_layer();
        handshake::open_namespace(&io);
        Ok(Self { layer, connections, notifier, io, rooms, readings, writer, tasks: Arc::new(Mutex::new(tasks)) })
    }

    /// Takes no more messages, settles those taken, and closes every socket's transport, so that clients
    /// reconnect elsewhere.
    pub async fn drain(&self) {
        if tokio::time::timeout(DRAIN_TIMEOUT, self.writer.drain()).await.is_err() {
            tracing::warn!("some messages were not settled in time");
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, self.io.close()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
        self.tasks.lock().await.shutdown().await;
        // Where everybody was, for the process to which they come back.
        if tokio::time::timeout(RECORD_TIMEOUT, records::record(&self.rooms, &self.readings)).await.is_err() {
            tracing::warn!("it was not recorded in time who was in which chat");
        }
    }
}

/// Closes sockets whose token expires.
async fn end_expired(state: SocketState) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        state.connections.end_expired(chrono::Utc::now());
    }
}

/// A payload that is serialized once for all its receivers.
#[derive(Debug)]
pub struct Encoded(Box<RawValue>);

impl Encoded {
    /// Serializes a payload.
    #[must_use]
    pub fn new(payload: &impl Serialize) -> Self {
        Self(to_raw_value(payload).unwrap_or_else(|error| {
            tracing::error!(%error, "a payload could not be serialized");
            RawValue::NULL.to_owned()
        }))
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Emits to one socket. One whose buffer is full loses the packet.
pub(crate) fn emit(socket: &SocketRef, event: &str, payload: &Encoded) {
    if let Err(error) = socket.emit(event, payload) {
        tracing::debug!(event, %error, "not delivered");
    }
}
