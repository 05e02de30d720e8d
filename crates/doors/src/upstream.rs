//! The way to the pooler: address, time limits, encryption.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use socket2::{SockRef, TcpKeepalive};
use sqlx::postgres::PgSslMode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::relay::put_error;
use crate::url::ConnectionString;

/// How long connecting may take, over all addresses and with encryption.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long starting up may take once the server is connected, authentication included.
pub const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a start-up packet.
const MAX_STARTUP: usize = 10_000;

/// How long sent data may stay unacknowledged before the path counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Codes in place of a protocol version, in the first packet of a connection.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
pub const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// A connection to the pooler, encrypted or not.
pub trait Upstream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Upstream for T {}

/// Address and encryption of the pooler; for a tunnel, of any server.
#[derive(Debug)]
pub struct Target {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    connector: Connector,
    /// Whether the server may refuse encryption (`prefer`).
    optional: bool,
    /// Whether it refused it the last time.
    refused: AtomicBool,
}

struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing listens: the server may be starting.
    #[error("nothing listens at the server's address")]
    Refused,
    /// The server does not answer, or cannot be found.
    #[error("the server cannot be reached ({0})")]
    Unreachable(io::Error),
    /// There is no encryption, or the certificate is not accepted.
    #[error("the encrypted connection to the server failed ({0}): check sslmode and sslrootcert")]
    Tls(io::Error),
}

impl Target {
    /// # Errors
    /// The file of root certificates cannot be used: a sentence that begins with the secret's name.
    pub fn new(url: &ConnectionString) -> Result<Self, String> {
        let (mode, roots) = url.tls();
        let verify = match mode {
            _ if url.is_unix_socket() => None,
            PgSslMode::Disable | PgSslMode::Allow => None,
            PgSslMode::Prefer | PgSslMode::Require => Some(Verify::Nothing),
            PgSslMode::VerifyCa => Some(Verify::Authority),
            PgSslMode::VerifyFull => Some(Verify::AuthorityAndName),
        };
        let tls = verify
            .map(|verify| {
                let config = client_config(verify, roots).map_err(|why| format!("{}: {why}.", url.secret()))?;
                let connector = Connector(TlsConnector::from(Arc::new(config)));
                let optional = matches!(mode, PgSslMode::Prefer);
                Ok::<_, String>(Tls { connector, optional, refused: AtomicBool::new(false) })
            })
            .transpose()?;
        Ok(Self { host: url.host().to_owned(), port: url.port(), tls })
    }

    /// Connects within [`CONNECT_TIMEOUT`].
    pub async fn connect(&self) -> Result<Box<dyn Upstream>, Failure> {
        self.connect_asking(self.tls.as_ref()).await
    }

    /// Connects within [`CONNECT_TIMEOUT`], for a cancel request: as libpq does, without asking for encryption where
    /// other connections have none. pgcat takes a cancel request as the first packet only.
    pub async fn connect_to_cancel(&self) -> Result<Box<dyn Upstream>, Failure> {
        self.connect_asking(self.tls.as_ref().filter(|tls| !tls.refused.load(Ordering::Relaxed))).await
    }

    async fn connect_asking(&self, tls: Option<&Tls>) -> Result<Box<dyn Upstream>, Failure> {
        timeout(CONNECT_TIMEOUT, self.open(tls))
            .await
            .unwrap_or_else(|_| Err(Failure::Unreachable(ErrorKind::TimedOut.into())))
    }

    async fn open(&self, tls: Option<&Tls>) -> Result<Box<dyn Upstream>, Failure> {
        if self.host.starts_with('/') {
            let path = format!("{}/.s.PGSQL.{}", self.host, self.port);
            return Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?));
        }
        let mut stream = self.connect_tcp().await.map_err(unreachable)?;
        let Some(tls) = tls else { return Ok(Box::new(stream)) };
        stream.write_u64(u64::from(SSL_REQUEST) | 8 << 32).await.map_err(unreachable)?;
        let answer = stream.read_u8().await.map_err(unreachable)?;
        tls.refused.store(answer == b'N' && tls.optional, Ordering::Relaxed);
        match answer {
            b'S' => {}
            b'N' if tls.optional => return Ok(Box::new(stream)),
            b'N' => return Err(Failure::Tls(io::Error::other("the server offers none"))),
            _ => return Err(Failure::Tls(io::Error::other("the answer is not PostgreSQL's"))),
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| Failure::Tls(io::Error::other(error)))?;
        let stream = tls.connector.0.connect(name, stream).await.map_err(Failure::Tls)?;
        Ok(Box::new(stream))
    }

    /// Reads a client's first packet, and passes it on to a new connection. Returns that connection, or `None` if nothing
    /// follows: it was a cancel request, or the client has been sent the reason why there is no connection.
    pub async fn introduce(&self, client: &mut UnixStream) -> io::Result<Option<Box<dyn Upstream>>> {
        let (packet, code) = loop {
            let packet = timeout(STARTUP_TIMEOUT, read_packet(client)).await??;
            match (&packet[4..]).get_u32() {
                // Within this process there is nothing to encrypt.
                SSL_REQUEST | GSSENC_REQUEST => client.write_all(b"N").await?,
                code => break (packet, code),
            }
        };
        if code != CANCEL_REQUEST && code >> 16 != 3 {
            dismiss(client, "0A000", "only version 3 of the protocol is relayed").await?;
            return Ok(None);
        }
        let connected = if code == CANCEL_REQUEST { self.connect_to_cancel().await } else { self.connect().await };
        let mut server = match connected {
            Ok(server) => server,
            // sqlx tries 57P03 again, as it does when nothing listens, and reports 08001 at once.
            Err(failure) => {
                let sqlstate = if matches!(failure, Failure::Refused) { "57P03" } else { "08001" };
                dismiss(client, sqlstate, &failure.to_string()).await?;
                return Ok(None);
            }
        };
        server.write_all(&packet).await?;
        server.flush().await?;
        if code == CANCEL_REQUEST {
            // The server closes the connection once it has passed the request on.
            let _closed = timeout(CONNECT_TIMEOUT, server.read_u8()).await;
            return Ok(None);
        }
        Ok(Some(server))
    }

    /// Tries every address the name has; each gets its share of the time that is left.
    async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let addresses: Vec<_> = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for (n, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - n).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return configure(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }
}

/// A packet without a tag: its length, a version or code, and more.
async fn read_packet(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if !(8..=MAX_STARTUP).contains(&size) {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut packet = vec![0; size];
    packet[..4].copy_from_slice(&length.to_be_bytes());
    client.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

/// Sends a client the reason as a FATAL error, and closes its connection.
pub async fn dismiss(client: &mut UnixStream, sqlstate: &str, why: &str) -> io::Result<()> {
    let mut out = BytesMut::new();
    put_error(&mut out, "FATAL", sqlstate, why);
    client.write_all(&out).await?;
    client.shutdown().await
}

fn unreachable(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::ConnectionRefused { Failure::Refused } else { Failure::Unreachable(error) }
}

/// The client's pings do not get this far, so the kernel checks that the path is alive.
fn configure(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(DEAD_AFTER).with_interval(Duration::from_secs(5)).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    Ok(stream)
}

/// How much of the server's certificate is checked.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    Authority,
    AuthorityAndName,
}

/// With `roots`, a file, those are the only authorities, as for libpq; without, the public ones are.
fn client_config(verify: Verify, roots: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if verify == Verify::Nothing {
        let verifier = Arc::new(Lenient { verifier: None, provider });
        return Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let roots = Arc::new(root_certificates(roots)?);
    if verify == Verify::AuthorityAndName {
        return Ok(config.with_root_certificates(roots).with_no_client_auth());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| format!("sslrootcert cannot be used ({error})"))?;
    let verifier = Arc::new(Lenient { verifier: Some(verifier), provider });
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn root_certificates(file: Option<&str>) -> Result<RootCertStore, String> {
    let Some(file) = file else { return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }) };
    let unusable = |why: &dyn std::fmt::Display| {
        format!("the file of sslrootcert cannot be used ({why}): put the authority's certificate there, in PEM form")
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))? {
        store.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
    }
    if store.is_empty() {
        return Err(unusable(&"it holds no certificate"));
    }
    Ok(store)
}

/// Checks the authority but not the name, or nothing at all. The server still has to hold the key of the certificate that
/// it presents.
#[derive(Debug)]
struct Lenient {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(verifier) = &self.verifier else { return Ok(ServerCertVerified::assertion()) };
        match verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
