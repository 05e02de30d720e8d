//! The I/O of one connection: reads, asks the conversation, writes.
//!
//! Memory is bounded: a request is read whole (at most 32 MiB), and answers pass through as they come. Nothing is read
//! from the server while the client does not read what it has been sent.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::conversation::{Conversation, Next, Out, Shared, Violation};
use super::frame::{AnswerReader, RequestReader, put, take_whole};
use crate::loss::LastLoss;
use crate::upstream::{CANCEL_REQUEST, CONNECT_TIMEOUT, STARTUP_TIMEOUT, Target, Upstream, dismiss};

/// How many bytes are read at once, and buffered of requests that arrive while an answer is due.
const CHUNK: usize = 16 << 10;

/// Empty buffers that have grown beyond this are freed.
const KEEP: usize = 256 << 10;

/// What all connections of a relay share.
#[derive(Debug)]
pub struct Context {
    pub target: Target,
    pub shared: Arc<Shared>,
    /// How long the pooler may stay silent while an answer is due, including its wait for a free server.
    pub answer_timeout: Duration,
    /// When the pooler last ended a connection, or failed on one.
    pub last_loss: LastLoss,
}

/// Relays one connection of a client until either side ends it.
pub async fn relay(context: Arc<Context>, mut client: UnixStream) -> io::Result<()> {
    let Some(server) = context.target.introduce(&mut client).await? else { return Ok(()) };
    let mut connection = Connection {
        conversation: Conversation::new(context.shared.clone()),
        requests: RequestReader::default(),
        answers: AnswerReader::default(),
        from_client: BytesMut::new(),
        from_server: BytesMut::new(),
        out: Out::default(),
        cancel_key: Bytes::new(),
        client,
        server,
        context: context.clone(),
    };
    let started = timeout(STARTUP_TIMEOUT, connection.start_up()).await;
    match started.unwrap_or(Err(End::Lost("the pooler did not finish the start-up in time"))) {
        Ok(()) => {}
        Err(end) => return connection.end(end).await,
    }
    let end = connection.serve().await;
    if matches!(end, End::Closed | End::Lost(_) | End::Late) {
        connection.context.last_loss.note();
    }
    connection.end(end).await
}

struct Connection {
    context: Arc<Context>,
    client: UnixStream,
    server: Box<dyn Upstream>,
    conversation: Conversation,
    requests: RequestReader,
    answers: AnswerReader,
    from_client: BytesMut,
    from_server: BytesMut,
    out: Out,
    /// The body of `BackendKeyData`, which cancels a running statement.
    cancel_key: Bytes,
}

/// Why a connection ends.
enum End {
    /// The client sent Terminate, or left during the start-up.
    Terminated,
    /// The client disconnected without Terminate.
    Abandoned,
    /// The server ended the connection; any reason that it sent has been passed on.
    Closed,
    /// The connection to the server is no longer usable.
    Lost(&'static str),
    /// The server has not answered in time.
    Late,
    /// One of the two broke the protocol.
    Broken(Violation),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl From<super::frame::Malformed> for End {
    fn from(malformed: super::frame::Malformed) -> Self {
        Self::Broken(Violation::of_protocol(malformed.0))
    }
}

const LOST: End = End::Lost("the connection to the pooler was lost");

impl Connection {
    /// Passes everything on until the server is ready for the first time: client and server authenticate by themselves.
    /// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>
    async fn start_up(&mut self) -> Result<(), End> {
        loop {
            while let Some(message) = take_whole(&mut self.from_server)? {
                if !b"RSKNvEZ".contains(&message.tag) {
                    return Err(
                        Violation::of_protocol("the pooler sent a message that is not part of the start-up").into()
                    );
                }
                put(&mut self.out.to_client, message.tag, &[&message.body]);
                match message.tag {
                    b'K' => self.cancel_key = Bytes::copy_from_slice(&message.body),
                    b'E' => return Err(End::Closed),
                    b'Z' if message.body[..] == *b"I" => return self.flush_to_client().await,
                    b'Z' => return Err(Violation::of_protocol("the pooler begins within a transaction").into()),
                    _ => {}
                }
            }
            self.flush_to_client().await?;
            self.from_client.reserve(CHUNK);
            self.from_server.reserve(CHUNK);
            tokio::select! {
                read = self.server.read_buf(&mut self.from_server) => if !matches!(read, Ok(1..)) { return Err(LOST) },
                read = self.client.read_buf(&mut self.from_client) => {
                    if !matches!(read, Ok(1..)) {
                        return Err(End::Terminated);
                    }
                    // Only whole messages, because PgBouncer does not accept them in pieces.
                    while let Some(message) = take_whole(&mut self.from_client)? {
                        if message.tag != b'p' {
                            return Err(Violation::of_protocol("a message that does not authenticate").into());
                        }
                        put(&mut self.out.to_server, message.tag, &[&message.body]);
                    }
                    self.flush_to_server().await?;
                }
            }
        }
    }

    /// Relays until the connection has to end.
    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        while let Some(answer) = self.answers.next(&mut self.from_server)? {
            self.conversation.on_answer(answer, &mut self.out)?;
        }
        self.flush().await?;
        while !self.conversation.awaits_answer() {
            let Some(request) = self.requests.next(&mut self.from_client)? else { break };
            if self.conversation.on_request(request, &mut self.out)? == Next::Ends {
                return Err(End::Terminated);
            }
            self.flush().await?;
        }
        self.read().await
    }

    /// Waits for either side. Reads from the client even while an answer is due, since only that shows that it has
    /// disconnected.
    async fn read(&mut self) -> Result<(), End> {
        let awaits_answer = self.conversation.awaits_answer();
        let has_room = !awaits_answer || self.from_client.len() < CHUNK;
        give_back(&mut self.from_client);
        give_back(&mut self.from_server);
        self.from_client.reserve(CHUNK);
        self.from_server.reserve(CHUNK);
        let patience = Instant::now() + self.context.answer_timeout;
        tokio::select! {
            read = self.server.read_buf(&mut self.from_server) => match read {
                Ok(1..) => Ok(()),
                _ if awaits_answer => Err(LOST),
                _ => Err(End::Closed),
            },
            read = self.client.read_buf(&mut self.from_client), if has_room => match read {
                Ok(1..) => Ok(()),
                _ => Err(End::Abandoned),
            },
            () = tokio::time::sleep_until(patience), if awaits_answer => {
                Err(End::Late)
            }
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        self.flush_to_server().await?;
        self.flush_to_client().await
    }

    async fn flush_to_client(&mut self) -> Result<(), End> {
        if !self.out.to_client.is_empty() {
            self.client.write_all(&self.out.to_client).await.map_err(|_| End::Abandoned)?;
            self.out.to_client.clear();
            give_back(&mut self.out.to_client);
        }
        Ok(())
    }

    async fn flush_to_server(&mut self) -> Result<(), End> {
        if !self.out.to_server.is_empty() {
            let deadline = Instant::now() + self.context.answer_timeout;
            let write = async {
                self.server.write_all(&self.out.to_server).await?;
                self.server.flush().await
            };
            timeout_at(deadline, write).await.map_err(|_| LOST)?.map_err(|_| LOST)?;
            self.out.to_server.clear();
            give_back(&mut self.out.to_server);
        }
        Ok(())
    }

    /// Ends both connections, and sends the client the reason unless it knows it.
    async fn end(mut self, end: End) -> io::Result<()> {
        // What the server sent before it closed the connection.
        if !matches!(end, End::Abandoned) {
            let _read_or_not = timeout(CONNECT_TIMEOUT, self.flush_to_client()).await;
        }
        let (sqlstate, why) = match end {
            End::Terminated => {
                put(&mut self.out.to_server, b'X', &[]);
                return self.flush_to_server().await.map_err(|_| ErrorKind::BrokenPipe.into());
            }
            End::Abandoned => return self.cancel().await,
            End::Closed => return self.client.shutdown().await,
            End::Lost(why) => ("08006", why),
            // Not 08006: a statement whose connection is lost may be retried once, and this one must not be.
            End::Late => {
                self.context.shared.doubt_limits();
                ("08000", "the pooler did not answer in time: it is out of servers, or out of reach")
            }
            End::Broken(Violation { sqlstate, message }) => (sqlstate, message),
        };
        // In the middle of a row the client would take an error for a part of the row.
        if !self.answers.is_within_a_row() {
            let _read_or_not = timeout(CONNECT_TIMEOUT, dismiss(&mut self.client, sqlstate, why)).await;
        }
        self.cancel().await
    }

    /// Cancels the running statement, if any, since nobody waits for its answer any more. The server's connection is still
    /// open at that time: once it is closed, the server could be working for somebody else.
    /// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>
    async fn cancel(&mut self) -> io::Result<()> {
        if !self.conversation.runs_statement() || self.cancel_key.is_empty() {
            return Ok(());
        }
        let mut packet = Vec::new();
        let length = u32::try_from(8 + self.cancel_key.len()).unwrap_or(u32::MAX);
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
        packet.extend_from_slice(&self.cancel_key);
        let Ok(mut server) = self.context.target.connect_to_cancel().await else { return Ok(()) };
        server.write_all(&packet).await?;
        server.flush().await?;
        let _closed = timeout(CONNECT_TIMEOUT, server.read_u8()).await;
        Ok(())
    }
}

fn give_back(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEEP {
        *buffer = BytesMut::new();
    }
}
