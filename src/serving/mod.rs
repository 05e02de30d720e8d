//! HTTP/1.1 for strangers: how long a client may take with a request, and how many connections there may be, in all and
//! from one address.
//!
//! When there is no room, the connection goes that has been waiting for its client longest: so clients that send
//! nothing, or slowly, cannot lock out those that send requests.

mod body;
mod connection;
mod descriptors;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HttpLimits;
use crate::limits::TrustedProxies;
use crate::supervision::Task;
use crate::web::layers::{Site, SlowBody};
use body::{RequestBody, ResponseBody};
use connection::{Activity, Connections};
pub(crate) use descriptors::connections_that_fit;

/// The most that is buffered for a connection, and so the longest head of a request.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// How long after a failure, such as having no descriptors left, connections are accepted again.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How often a failure to accept is logged.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How often connections are looked through for those whose time is up.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Serves a site. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    site: Site,
    limits: HttpLimits,
    proxies: TrustedProxies,
    /// The longest a peer may leave what was sent to it unacknowledged.
    stall_timeout: Duration,
    connections: Connections,
    serving: TaskTracker,
    stopping: CancellationToken,
}

impl Server {
    /// `stall_timeout` is how long a peer may read nothing, and how long a websocket may send nothing, twice.
    pub(crate) fn new(site: Site, limits: HttpLimits, proxies: TrustedProxies, stall_timeout: Duration) -> Self {
        let connections = Connections::new(limits, 2 * stall_timeout);
        let (serving, stopping) = (TaskTracker::new(), CancellationToken::new());
        Self { site, limits, proxies, stall_timeout, connections, serving, stopping }
    }

    /// Accepts connections until [`drain`](Self::drain).
    pub(crate) async fn accept(self, listener: Arc<TcpListener>, task: Arc<Task>) -> anyhow::Result<()> {
        let mut warned: Option<Instant> = None;
        loop {
            let Some(accepted) = self.stopping.run_until_cancelled(listener.accept()).await else { return Ok(()) };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::warn!(%error, "a connection cannot be accepted: trying again");
                    }
                    self.connections.make_room();
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
            task.works();
        }
    }

    /// Cuts the connections whose time is up, for as long as the process lives.
    pub(crate) async fn sweep(self, task: Arc<Task>) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.connections.cut_overdue(Instant::now());
            task.works();
        }
    }

    /// Accepts nothing more, and waits for the requests that have begun.
    pub(crate) async fn drain(&self) {
        self.stopping.cancel();
        self.connections.cut_waiting();
        self.serving.close();
        self.serving.wait().await;
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        self.set_options(&stream);
        let Some((io, activity)) = self.connections.admit(stream, self.proxies.counted_peer(peer.ip())) else { return };
        let (served, body_timeout) = (activity.clone(), self.limits.body_timeout);
        let (site, proxies) = (self.site.clone(), self.proxies.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let client = proxies.client(peer.ip(), request.headers());
            request.extensions_mut().insert(client);
            answer(site.clone(), request, served.clone(), body_timeout)
        });
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER_BYTES);
        let connection = http.serve_connection(TokioIo::new(io), service).with_upgrades();
        let stopping = self.stopping.clone();
        self.serving.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = stopping.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection failed");
            }
            // If it lives on, it is a websocket.
            activity.is_upgraded();
        });
    }

    fn set_options(&self, stream: &TcpStream) {
        // Chat packets are small and must not be delayed by Nagle's algorithm.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        // Cuts off a peer that reads nothing for this long: socketioxide cannot close a websocket during a write.
        #[cfg(target_os = "linux")]
        if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(self.stall_timeout)) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT");
        }
    }
}

/// Whether a connection failed before it was accepted, which says nothing about the next one.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(
    site: Site,
    request: Request<Incoming>,
    activity: Arc<Activity>,
    body_timeout: Duration,
) -> Result<Response<ResponseBody>, std::convert::Infallible> {
    let slow = SlowBody::default();
    let mut request = RequestBody::begin(request, &activity, body_timeout, &slow);
    request.extensions_mut().insert(slow);
    let response = site.answer(request.map(Body::new)).await?;
    Ok(response.map(|body| ResponseBody::new(body, activity)))
}
