//! The tests' own transaction pooler, in front of a real PostgreSQL. It does what real poolers were seen to do, at
//! every opportunity, and records what its clients send.
//!
//! Like Supavisor, it passes none of the client's start-up parameters on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// The pooler's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Frees the server after the first `ReadyForQuery` outside a transaction, whatever else was asked for in the same
    /// segment: Supavisor up to v2.9.10. The answers that are still due go to the next client.
    FreesEarly,
    /// Frees the server when every request has been answered.
    FreesWhenAnswered,
    /// A server belongs to a client until it disconnects: a session pooler.
    Session,
    /// Refuses every client with this message, as Supavisor does: FATAL, XX000.
    Refuses(&'static str),
    /// Answers a request of the extended protocol with nothing.
    IsSilent,
    /// Answers a request of the extended protocol with a message that is not due.
    BreaksTheProtocol,
    /// Answers every request of the extended protocol, and every BEGIN, with this message, FATAL and XX000, and ends the
    /// connection: Supavisor when it runs out of something.
    Fails(&'static str),
    /// Refuses a BEGIN with more than one command in its message: pgdog with its query parser.
    RefusesBegin,
}

/// Closed, with its connections, when dropped.
pub struct ScriptedPooler {
    url: String,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    /// The URL of PostgreSQL, including the user.
    server: url::Url,
    free: Mutex<VecDeque<Server>>,
    /// A permit for each server.
    servers: Semaphore,
    clients: AtomicUsize,
    overlaps: AtomicUsize,
    /// What clients have sent since their start-up.
    sent: Mutex<BytesMut>,
}

/// A connection to PostgreSQL, and what it has sent that no client has received yet.
struct Server {
    stream: TcpStream,
    said: BytesMut,
    /// The parameters that it sent at its start-up, for clients.
    parameters: Bytes,
}

impl ScriptedPooler {
    /// Starts a pooler in front of PostgreSQL at `url`, with this many servers.
    pub async fn before(url: &str, servers: usize, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = url::Url::parse(url).expect("a URL");
        let mut here = server.clone();
        here.set_port(Some(listener.local_addr().expect("an address").port())).expect("a URL with a host");
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            server,
            free: Mutex::default(),
            servers: Semaphore::new(servers),
            clients: AtomicUsize::new(0),
            overlaps: AtomicUsize::new(0),
            sent: Mutex::default(),
        });
        Self { url: here.into(), listener: tokio::spawn(accept(listener, shared.clone())), shared }
    }

    /// The URL of PostgreSQL through this pooler.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Changes the behaviour from now on.
    pub fn behave(&self, script: Script) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// How many clients have connected.
    pub fn clients(&self) -> usize {
        self.shared.clients.load(Ordering::Relaxed)
    }

    /// What clients have sent since the last call, as text.
    pub fn take_sent(&self) -> String {
        let sent = self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).split();
        String::from_utf8_lossy(&sent).into_owned()
    }

    /// How often a client sent a request while an earlier one of its own had not been answered.
    pub fn overlaps(&self) -> usize {
        self.shared.overlaps.load(Ordering::Relaxed)
    }
}

impl Drop for ScriptedPooler {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut clients = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.clients.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        clients.spawn(async move {
            let _gone = serve(client, &shared).await;
        });
        while clients.try_join_next().is_some() {}
    }
}

/// A packet without a tag.
async fn read_packet(stream: &mut TcpStream) -> std::io::Result<Bytes> {
    let length = usize::try_from(stream.read_u32().await?).expect("a length");
    let mut packet = vec![0; length - 4];
    stream.read_exact(&mut packet).await?;
    Ok(packet.into())
}

/// A whole message, if there is one: its tag, and all its bytes.
fn take_message(from: &mut BytesMut) -> Option<(u8, Bytes)> {
    let length = usize::try_from(u32::from_be_bytes(from.get(1..5)?.try_into().ok()?)).ok()?;
    (from.len() > length).then(|| (from[0], from.split_to(1 + length).freeze()))
}

fn put(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len() + 4).expect("small"));
    out.put_slice(body);
}

fn put_error(out: &mut BytesMut, severity: &str, code: &str, message: &str) {
    put(out, b'E', format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0").as_bytes());
}

const READY: &[u8] = b"Z\0\0\0\x05I";

async fn serve(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    const SSL_REQUEST: u32 = 80_877_103;
    const CANCEL_REQUEST: u32 = 80_877_102;
    client.set_nodelay(true)?;
    loop {
        let mut packet = read_packet(&mut client).await?;
        match packet.get_u32() {
            SSL_REQUEST => client.write_all(b"N").await?,
            CANCEL_REQUEST => return Ok(()),
            _ => break,
        }
    }
    let mut out = BytesMut::new();
    if let Script::Refuses(message) = shared.script() {
        put_error(&mut out, "FATAL", "XX000", message);
        return client.write_all(&out).await;
    }
    let server = shared.take_server().await;
    put(&mut out, b'R', &[0; 4]);
    out.put_slice(&server.parameters);
    put(&mut out, b'K', &rand::random::<[u8; 8]>());
    out.put_slice(READY);
    shared.give_back(server);
    client.write_all(&out).await?;

    let mut held = None;
    let mut conversation = Conversation::default();
    let ended = conversation.relay(&mut client, &mut held, shared).await;
    // A server with an answer due, or in a transaction, is given to nobody.
    match held {
        Some(server) if conversation.due == 0 && !conversation.is_in_transaction => shared.give_back(server),
        Some(_) => shared.servers.add_permits(1),
        None => {}
    }
    ended
}

/// The state of one client's conversation.
#[derive(Default)]
struct Conversation {
    /// Bytes of a message that is not complete yet.
    asked: BytesMut,
    /// How many `ReadyForQuery` are due.
    due: usize,
    is_in_transaction: bool,
    /// Whether the client has sent Terminate.
    has_ended: bool,
}

impl Conversation {
    async fn relay(
        &mut self,
        client: &mut TcpStream,
        held: &mut Option<Server>,
        shared: &Shared,
    ) -> std::io::Result<()> {
        // More than a request has: a message that came in pieces would be passed on before it is understood.
        let mut segment = BytesMut::with_capacity(64 << 10);
        loop {
            if let Some(server) = held
                && self.answer(server, client, shared.script()).await?
            {
                held.take().into_iter().for_each(|server| shared.give_back(server));
            }
            segment.clear();
            tokio::select! {
                read = client.read_buf(&mut segment) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    let is_special = self.note(&segment, shared);
                    if self.has_ended {
                        return Ok(());
                    }
                    if is_special {
                        self.misbehave(client, shared.script()).await?;
                        continue;
                    }
                    let server = match held {
                        Some(server) => server,
                        None => held.insert(shared.take_server().await),
                    };
                    server.stream.write_all(&segment).await?;
                }
                read = async { match held {
                    Some(server) => server.stream.read_buf(&mut server.said).await,
                    None => std::future::pending().await,
                } } => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes note of what a segment asks for. Returns whether the script has something else than the answer for it.
    fn note(&mut self, segment: &[u8], shared: &Shared) -> bool {
        self.asked.extend_from_slice(segment);
        shared.sent.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(segment);
        let mut is_special = false;
        while let Some((tag, message)) = take_message(&mut self.asked) {
            is_special |= match shared.script() {
                Script::IsSilent | Script::BreaksTheProtocol => tag == b'P',
                Script::Fails(_) => tag == b'P' || tag == b'Q' && message.windows(5).any(|text| text == b"begin"),
                Script::RefusesBegin => tag == b'Q' && message.windows(10).any(|text| text == b"; set loca"),
                _ => false,
            };
            self.has_ended |= tag == b'X';
            if b"SQ".contains(&tag) {
                let earlier = self.due > 0;
                shared.overlaps.fetch_add(earlier.into(), Ordering::Relaxed);
                self.due += 1;
            }
        }
        is_special
    }

    async fn misbehave(&mut self, client: &mut TcpStream, script: Script) -> std::io::Result<()> {
        let mut out = BytesMut::new();
        match script {
            Script::BreaksTheProtocol => put(&mut out, b'W', &[0, 0, 0]),
            Script::Fails(message) => {
                put_error(&mut out, "FATAL", "XX000", message);
                client.write_all(&out).await?;
                return client.shutdown().await;
            }
            Script::RefusesBegin => {
                put_error(&mut out, "ERROR", "42601", "cannot insert multiple commands into a prepared statement");
                out.put_slice(READY);
                self.due -= 1;
            }
            _ => {}
        }
        client.write_all(&out).await
    }

    /// Passes on what the server has said. Returns whether it is free now; then nothing more of what it says is passed on.
    async fn answer(&mut self, server: &mut Server, client: &mut TcpStream, script: Script) -> std::io::Result<bool> {
        let mut out = BytesMut::new();
        let mut is_free = false;
        while let Some((tag, message)) = take_message(&mut server.said) {
            out.put_slice(&message);
            if tag == b'Z' {
                self.due = self.due.saturating_sub(1);
                self.is_in_transaction = message[5] != b'I';
                is_free = !self.is_in_transaction
                    && match script {
                        Script::Session => false,
                        Script::FreesEarly => true,
                        _ => self.due == 0,
                    };
                if is_free {
                    break;
                }
            }
        }
        client.write_all(&out).await?;
        Ok(is_free)
    }
}

impl Shared {
    fn script(&self) -> Script {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server that was used last, or a new one.
    async fn take_server(&self) -> Server {
        self.servers.acquire().await.expect("open").forget();
        let free = self.lock().pop_back();
        match free {
            Some(server) => server,
            None => Server::connect(&self.server).await.expect("PostgreSQL"),
        }
    }

    fn give_back(&self, server: Server) {
        self.lock().push_back(server);
        self.servers.add_permits(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Server>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    async fn connect(url: &url::Url) -> std::io::Result<Self> {
        let address = (url.host_str().expect("a host"), url.port().expect("a port"));
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let user_and_database =
            format!("user\0{}\0database\0{}\0\0", url.username(), url.path().trim_start_matches('/'));
        let mut packet = BytesMut::new();
        packet.put_u32(u32::try_from(user_and_database.len() + 8).expect("small"));
        packet.put_u32(3 << 16);
        packet.put_slice(user_and_database.as_bytes());
        stream.write_all(&packet).await?;

        let mut scram = ScramSha256::new(url.password().expect("a password").as_bytes(), ChannelBinding::unsupported());
        let (mut said, mut parameters) = (BytesMut::new(), BytesMut::new());
        loop {
            let Some((tag, message)) = take_message(&mut said) else {
                assert!(stream.read_buf(&mut said).await? > 0, "PostgreSQL refuses the tests' pooler");
                continue;
            };
            let body = &message[5..];
            let mut out = BytesMut::new();
            match (tag, body.get(3)) {
                (b'Z', _) => return Ok(Self { stream, said, parameters: parameters.freeze() }),
                (b'S', _) => parameters.put_slice(&message),
                // <https://www.postgresql.org/docs/current/sasl-authentication.html>
                (b'R', Some(10)) => {
                    let first = scram.message();
                    let mut answer = format!("{SCRAM_SHA_256}\0").into_bytes();
                    answer.extend_from_slice(&u32::try_from(first.len()).expect("small").to_be_bytes());
                    answer.extend_from_slice(first);
                    put(&mut out, b'p', &answer);
                }
                (b'R', Some(11)) => {
                    scram.update(&body[4..])?;
                    put(&mut out, b'p', scram.message());
                }
                (b'R', Some(12)) => scram.finish(&body[4..])?,
                (b'E', _) => panic!("PostgreSQL refuses the tests' pooler: {}", String::from_utf8_lossy(body)),
                _ => {}
            }
            stream.write_all(&out).await?;
        }
    }
}
