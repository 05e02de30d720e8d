//! A Socket.IO client over raw packets: Engine.IO 4 over a websocket, namespace `/chat`, and nothing else. A task and
//! a small buffer per connection, so that thousands fit beside the server. It does not reconnect: a connection
//! that ends, ends.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// How long to wait for the connection: longer than the server waits for an account while its database is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Per connection, in bytes: a chat message fits.
const BUFFER_BYTES: usize = 4 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The connection ended, or could not be made.
    Lost,
    /// The namespace refused it, in these words.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("the connection is lost"),
            Self::Refused(words) => f.write_str(words),
        }
    }
}

/// An event from the server, parsed on demand.
#[derive(Debug, Clone)]
pub struct Event(Utf8Bytes);

impl Event {
    /// Whether the event has this name.
    pub fn is(&self, name: &str) -> bool {
        self.0
            .get(EVENT.len()..)
            .and_then(|rest| rest.strip_prefix("[\""))
            .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('"')))
    }

    /// The event's payload.
    pub fn payload(&self) -> Value {
        only_argument(&self.0[EVENT.len()..], 1)
    }
}

/// A receiver of events that drops them all.
pub fn nowhere() -> mpsc::Sender<Event> {
    mpsc::channel(1).0
}

/// The prefixes of packets: Engine.IO's type 4, Socket.IO's type, and the namespace.
const CONNECT: &str = "40/chat,";
const EVENT: &str = "42/chat,";
const ACK: &str = "43/chat,";
const CONNECT_ERROR: &str = "44/chat,";

type Socket = WebSocketStream<TcpStream>;

enum Command {
    Emit { arguments: String, answer: Option<oneshot::Sender<Utf8Bytes>> },
    Stall,
}

/// A connection. Cut when dropped.
pub struct Client {
    commands: mpsc::Sender<Command>,
    /// This end's TCP port.
    pub local_port: u16,
}

impl Client {
    /// Connects to the server at `port` of this machine. Events go to `events`, which connections may share. While
    /// it is full, the connection is not read; without a receiver, events are dropped.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn connect(port: u16, token: &str, events: mpsc::Sender<Event>) -> Result<Self, Failure> {
        Self::connect_with(port, token, events, None).await
    }

    /// As [`connect`](Self::connect), with a kernel receive buffer of this size. A small one fills at once.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn connect_with(
        port: u16,
        token: &str,
        events: mpsc::Sender<Event>,
        receive_buffer_bytes: Option<u32>,
    ) -> Result<Self, Failure> {
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, open(port, token, receive_buffer_bytes)).await;
        let socket = opening.unwrap_or(Err(Failure::Lost))?;
        let local_port = socket.get_ref().local_addr().map_err(|_| Failure::Lost)?.port();
        let (commands, to_do) = mpsc::channel(64);
        tokio::spawn(run(socket, to_do, events));
        Ok(Self { commands, local_port })
    }

    /// Emits an event without an acknowledgement. It may be lost.
    pub async fn emit(&self, event: &str, payload: &Value) {
        let _lost = self.commands.send(Command::Emit { arguments: arguments(event, payload), answer: None }).await;
    }

    /// Emits an event and waits for its acknowledgement, however long it takes.
    ///
    /// # Errors
    /// [`Failure::Lost`]
    pub fn ask(&self, event: &str, payload: &Value) -> impl Future<Output = Result<Value, Failure>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let (commands, arguments) = (self.commands.clone(), arguments(event, payload));
        async move {
            let emitted = commands.send(Command::Emit { arguments, answer: Some(answer) }).await;
            emitted.map_err(|_| Failure::Lost)?;
            drop(commands);
            let packet = answered.await.map_err(|_| Failure::Lost)?;
            let from = packet.find('[').unwrap_or(packet.len());
            Ok(only_argument(&packet[from..], 0))
        }
    }

    /// Stops reading for good without closing the connection.
    pub async fn stall(&self) {
        let _lost = self.commands.send(Command::Stall).await;
    }
}

fn arguments(event: &str, payload: &Value) -> String {
    json!([event, payload]).to_string()
}

/// The argument at `index` of a packet's JSON array.
fn only_argument(array: &str, index: usize) -> Value {
    match serde_json::from_str(array) {
        Ok(Value::Array(mut arguments)) if arguments.len() == index + 1 => arguments.swap_remove(index),
        other => panic!("not a packet with one payload: {array}: {other:?}"),
    }
}

async fn open(port: u16, token: &str, receive_buffer_bytes: Option<u32>) -> Result<Socket, Failure> {
    let stream = async {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
        stream.set_nodelay(true)?;
        std::io::Result::Ok(stream)
    };
    let stream = stream.await.map_err(|_| Failure::Lost)?;
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(0);
    let address = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _response) =
        tokio_tungstenite::client_async_with_config(address, stream, Some(config)).await.map_err(|_| Failure::Lost)?;
    send(&mut socket, format!("{CONNECT}{}", json!({"token": token}))).await?;
    loop {
        let packet = receive(&mut socket).await?;
        if packet.starts_with(CONNECT) {
            return Ok(socket);
        }
        if let Some(refusal) = packet.strip_prefix(CONNECT_ERROR) {
            let refusal: Value = serde_json::from_str(refusal).map_err(|_| Failure::Lost)?;
            return Err(Failure::Refused(refusal["message"].as_str().unwrap_or_default().to_owned()));
        }
    }
}

async fn run(mut socket: Socket, mut to_do: mpsc::Receiver<Command>, events: mpsc::Sender<Event>) {
    let mut asked = HashMap::new();
    let mut next_id = 0_u64;
    loop {
        tokio::select! {
            command = to_do.recv() => {
                let sent = match command {
                    None => return,
                    Some(Command::Stall) => {
                        while to_do.recv().await.is_some() {}
                        return;
                    }
                    Some(Command::Emit { arguments, answer: None }) => send(&mut socket, format!("{EVENT}{arguments}")).await,
                    Some(Command::Emit { arguments, answer: Some(answer) }) => {
                        let id = next_id;
                        next_id += 1;
                        asked.insert(id, answer);
                        send(&mut socket, format!("{EVENT}{id}{arguments}")).await
                    }
                };
                if sent.is_err() {
                    return;
                }
            }
            packet = receive(&mut socket) => {
                let Ok(packet) = packet else { return };
                if packet.starts_with(EVENT) {
                    let _unwanted = events.send(Event(packet)).await;
                } else if let Some(ack) = packet.strip_prefix(ACK) {
                    let id = ack.split_once('[').and_then(|(id, _)| id.parse::<u64>().ok());
                    let answer: Option<oneshot::Sender<Utf8Bytes>> = id.and_then(|id| asked.remove(&id));
                    let _no_longer_wanted = answer.map(|answer| answer.send(packet));
                }
            }
        }
    }
}

async fn send(socket: &mut Socket, packet: String) -> Result<(), Failure> {
    socket.send(Message::text(packet)).await.map_err(|_| Failure::Lost)
}

/// The next packet that is not about the connection itself. Pings are answered; may be cancelled.
async fn receive(socket: &mut Socket) -> Result<Utf8Bytes, Failure> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(packet))) => match packet.as_str() {
                "2" => send(socket, "3".to_owned()).await?,
                "1" | "41/chat," => return Err(Failure::Lost),
                _ => return Ok(packet),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(Failure::Lost),
        }
    }
}
