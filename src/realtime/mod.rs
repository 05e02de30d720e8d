//! The socket server: Socket.IO over the direct connection.
//!
//! Of the two doors its state holds only [`Direct`]: a socket handler that wants REST's does not compile.
//!
//! ```compile_fail,E0609
//! fn reach(state: &stm_backend::realtime::SocketState) -> &stm_backend::db::Pooler {
//!     &state.pooler
//! }
//! ```
//!
//! Every emit to a room goes through [`deliver`], and of messages only the [`writer`] emits: with more than
//! one process, these are the two places to change.

mod handshake;
pub mod reply;
pub mod rooms;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::Serialize;
use socketioxide::SocketIo;
use socketioxide::layer::SocketIoLayer;
use socketioxide::operators::BroadcastOperators;
use tokio::sync::Semaphore;

use crate::auth::AccessTokens;
use crate::db::Direct;
use writer::Writer;

pub use handshake::SocketUser;

/// The one namespace.
pub const NAMESPACE: &str = "/chat";

/// The largest packet a client may send, in bytes.
const MAX_PACKET_BYTES: usize = 64 * 1024;

/// How many packets may wait for a socket whose client reads slowly; more are dropped. Larger than what the
/// writers can settle at once for one socket, so that acknowledgements fit.
const MAX_BUFFERED_PACKETS: usize = 1024;

/// How long a connection may take to enter the namespace, and so how long one with a bad token is kept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handler's reading waits for its turn.
const READ_TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long closing all sockets may take: a peer whose TCP connection has stalled never answers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What socket handlers can reach.
#[derive(Debug, Clone)]
pub struct SocketState {
    /// The database.
    pub direct: Direct,
    /// Checks access tokens.
    pub access_tokens: Arc<AccessTokens>,
    /// Stores and emits messages.
    pub writer: Writer,
    readers: Arc<Semaphore>,
}

impl SocketState {
    /// Runs a handler's own reading. So many at a time that the writers always find a connection free.
    ///
    /// # Errors
    /// Those of the reading; [`sqlx::Error::PoolTimedOut`] if its turn does not come in time.
    pub async fn reading<T>(&self, read: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let turn = tokio::time::timeout(READ_TURN_TIMEOUT, self.readers.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(sqlx::Error::PoolTimedOut) };
        read.await
    }
}

/// The running socket server.
#[derive(Clone)]
pub struct Realtime {
    /// For emits to rooms.
    pub io: SocketIo,
    /// To be put around the router.
    pub layer: SocketIoLayer,
    writer: Writer,
}

impl std::fmt::Debug for Realtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Realtime")
    }
}

impl Realtime {
    /// Starts the message writers and opens the namespace.
    #[must_use]
    pub fn start(direct: Direct, access_tokens: Arc<AccessTokens>) -> Self {
        let writer = Writer::start(&direct);
        let readers = direct.max_connections().saturating_sub(writer::WRITERS + 1).max(1);
        let readers = Arc::new(Semaphore::new(readers));
        let (layer, io) = SocketIo::builder()
            .with_state(SocketState { direct, access_tokens, writer: writer.clone(), readers })
            .ws_max_message_size(MAX_PACKET_BYTES)
            .ws_max_frame_size(MAX_PACKET_BYTES)
            .max_payload(MAX_PACKET_BYTES as u64)
            .max_buffer_size(MAX_BUFFERED_PACKETS)
            .connect_timeout(CONNECT_TIMEOUT)
            .build_layer();
        handshake::open_namespace(&io);
        Self { io, layer, writer }
    }

    /// Takes no more messages, settles those taken, and closes every socket's transport, so that clients
    /// reconnect elsewhere.
    pub async fn drain(&self) {
        self.writer.drain().await;
        if tokio::time::timeout(CLOSE_TIMEOUT, self.io.close()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
    }
}

/// Emits to rooms of this process. A socket whose buffer is full loses the packet and finds the gap by `seq`.
pub fn deliver(to: BroadcastOperators, event: &str, payload: &impl Serialize) {
    // The local adapter is done at the first poll.
    if let Some(Err(error)) = to.emit(event, payload).now_or_never() {
        tracing::debug!(event, %error, "not delivered to every socket");
    }
}
