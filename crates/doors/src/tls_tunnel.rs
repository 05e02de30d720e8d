//! A tunnel that does nothing but TLS, for `sslmode=verify-ca`. That mode must trust the authorities of `sslrootcert` alone,
//! and sqlx trusts the public ones as well.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::local_socket::LocalSocket;
use crate::upstream::Target;
use crate::url::ConnectionString;

/// A tunnel to one server, which passes on what sqlx sends unchanged.
#[derive(Debug)]
pub struct TlsTunnel {
    socket: LocalSocket,
}

impl TlsTunnel {
    fn start(url: &ConnectionString) -> Result<Self, String> {
        let target = Arc::new(Target::new(url)?);
        let socket = LocalSocket::open(url, move |mut client| {
            let target = target.clone();
            async move {
                let Some(mut server) = target.introduce(&mut client).await? else { return Ok(()) };
                tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
            }
        })?;
        Ok(Self { socket })
    }
}

/// Options with which sqlx reaches `url` by itself, and the tunnel that must live as long as their connections, if they
/// need one.
///
/// # Errors
/// A sentence: the file of root certificates cannot be used, or the tunnel's socket cannot be opened.
pub fn connect_options(
    url: &ConnectionString,
    application_name: &str,
) -> Result<(PgConnectOptions, Option<Arc<TlsTunnel>>), String> {
    if !matches!(url.tls().0, PgSslMode::VerifyCa) || url.is_unix_socket() {
        return Ok((url.options(application_name), None));
    }
    let tunnel = TlsTunnel::start(url)?;
    Ok((tunnel.socket.options(url, application_name), Some(Arc::new(tunnel))))
}
