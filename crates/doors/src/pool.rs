//! The connections of a door, kept and lent.
//!
//! It rests on three rules:
//!
//! 1. A connection that is being opened, lent or cleaned up has a [`Place`]; there are as many places as there may be
//!    connections. Connection and place are dropped together, so no place is lost.
//! 2. Only an [`Idle`] connection can be lent again. [`Idle::new`] accepts only connections without an open transaction,
//!    with everything sent and every answer read.
//! 3. Places are granted first come, first served. The most recently used connection is lent next, so that the ones not
//!    needed expire.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgTransactionManager};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::ACQUIRE_TIMEOUT;
use crate::lease::Lease;
use crate::loss::LastLoss;
use crate::to_its_end::to_its_end;

/// Connections that were idle longer than this are pinged before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(30);

/// How long a connection may live.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The pause before the next attempt to connect: the first one, doubled after each failure up to the last one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);

/// How long closing a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The permit to have a connection.
pub(super) type Place = OwnedSemaphorePermit;

/// How many connections a pool may have and how long, and what a session begins with.
#[derive(Debug)]
pub(super) struct Limits {
    pub max_connections: u32,
    pub idle_timeout: Duration,
    pub max_age: Duration,
    /// Statements that every new session begins with.
    pub session: Option<String>,
}

impl Limits {
    pub fn new(max_connections: u32, idle_timeout: Duration) -> Self {
        Self { max_connections, idle_timeout, max_age: MAX_AGE, session: None }
    }
}

/// A pool. Cheap to clone. When the last clone and the last lease are dropped, its connections are closed.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Mutex<Arc<PgConnectOptions>>,
    limits: Limits,
    places: Arc<Semaphore>,
    /// A stack: the last one is lent next.
    idle: Mutex<Vec<Idle>>,
    is_closing: watch::Sender<bool>,
    last_loss: LastLoss,
    last_change: LastLoss,
    waiting: AtomicUsize,
    expired: AtomicU64,
    dead: AtomicU64,
    given_up: AtomicU64,
}

/// The state of a door's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// All connections, including those that are being opened or cleaned up.
    pub connections: usize,
    /// The connections that are not in use.
    pub idle: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections that were closed because of their age, or because they were not needed.
    pub expired: u64,
    /// Connections that turned out to be dead, or older than a change of the schema, when they were about to be lent again.
    pub dead: u64,
    /// Connections that were closed because they were no longer usable or could not be cleaned up, and sessions, which
    /// never return.
    pub given_up: u64,
}

/// A connection with its place. Closed when dropped.
pub(super) struct Held {
    pub connection: PgConnection,
    made: Instant,
    /// When it was last known to be alive.
    pub proven: Instant,
    /// Declared after the connection, because fields are dropped in order of declaration.
    place: Place,
}

/// A clean connection, ready to be lent.
#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    made: Instant,
    proven: Instant,
    since: Instant,
}

impl Idle {
    /// Accepts a connection with nothing in flight and no open transaction; returns any other.
    fn new(mut held: Held) -> Result<(Self, Place), Held> {
        // sqlx's `flush` waits for the answers that are due, and is ready at once if none is.
        let is_clean = PgTransactionManager::get_transaction_depth(&held.connection) == 0
            && !held.connection.should_flush()
            && matches!(held.connection.flush().now_or_never(), Some(Ok(())));
        if !is_clean {
            return Err(held);
        }
        let Held { connection, made, proven, place } = held;
        Ok((Self { connection, made, proven, since: Instant::now() }, place))
    }

    fn held(self, place: Place) -> Held {
        Held { connection: self.connection, made: self.made, proven: self.proven, place }
    }
}

/// Counts a waiting caller for as long as it lives.
struct Waiting<'p>(&'p AtomicUsize);

impl<'p> Waiting<'p> {
    fn new(waiting: &'p AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// Creates a pool that connects on demand. Must be called within a Tokio runtime. Connections last known to be alive
    /// before `last_loss` are pinged before use.
    pub fn new(options: PgConnectOptions, limits: Limits, last_loss: LastLoss) -> Self {
        let places = usize::try_from(limits.max_connections).unwrap_or(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            options: Mutex::new(Arc::new(options)),
            places: Arc::new(Semaphore::new(places)),
            limits,
            idle: Mutex::default(),
            is_closing: watch::Sender::new(false),
            last_loss,
            last_change: LastLoss::default(),
            waiting: AtomicUsize::new(0),
            expired: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        });
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] if none became free in time, [`sqlx::Error::PoolClosed`], and the errors of connecting.
    pub async fn acquire(&self) -> sqlx::Result<Lease> {
        let deadline = Instant::now() + ACQUIRE_TIMEOUT;
        let lease = async {
            let place = self.place().await?;
            let place = match self.reuse(place).await {
                Ok(lease) => return Ok(lease),
                Err(place) => place,
            };
            let pool = self.clone();
            // Otherwise, if every caller stopped waiting before it had connected, the pool would never get a connection.
            to_its_end(async move { pool.connect(place, deadline).await }).await
        };
        timeout_at(deadline, lease).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Waits for a place, first come, first served.
    async fn place(&self) -> sqlx::Result<Place> {
        let Shared { places, is_closing, waiting, .. } = &*self.0;
        if *is_closing.borrow() {
            return Err(sqlx::Error::PoolClosed);
        }
        // This overtakes nobody: a freed place goes to the first waiter and is never available to others.
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::new(waiting);
        let mut closing = is_closing.subscribe();
        tokio::select! {
            biased;
            _ = closing.wait_for(|is_closing| *is_closing) => Err(sqlx::Error::PoolClosed),
            place = places.clone().acquire_owned() => place.map_err(|_| sqlx::Error::PoolClosed),
        }
    }

    /// A place for a connection that the pool neither opens nor gets back. An idle connection is closed to make room.
    pub async fn place_in_time(&self) -> sqlx::Result<Place> {
        let place = async {
            let place = self.place().await?;
            let idle = self.0.idle().pop();
            if let Some(idle) = idle {
                say_goodbye(idle.connection).await;
            }
            Ok(place)
        };
        timeout(ACQUIRE_TIMEOUT, place).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Lends the most recently used idle connection, if it is still usable.
    async fn reuse(&self, place: Place) -> Result<Lease, Place> {
        let Some(idle) = self.0.idle().pop() else { return Err(place) };
        let Shared { limits, last_loss, last_change, expired, dead, .. } = &*self.0;
        if idle.made.elapsed() > limits.max_age {
            expired.fetch_add(1, Ordering::Relaxed);
            say_goodbye(idle.connection).await;
            return Err(place);
        }
        let needs_ping = idle.since.elapsed() >= PING_AFTER_IDLE || last_loss.is_after(idle.proven);
        let is_outdated = last_change.is_after(idle.made);
        let mut held = idle.held(place);
        if is_outdated || needs_ping && held.connection.ping().await.is_err() {
            dead.fetch_add(1, Ordering::Relaxed);
            return Err(held.place);
        }
        if needs_ping {
            held.proven = Instant::now();
        }
        Ok(Lease::new(self.clone(), held))
    }

    /// Connects. Retries until `deadline` while nothing listens, the server is starting up, or the session cannot be set up.
    async fn connect(self, place: Place, deadline: Instant) -> sqlx::Result<Lease> {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            match timeout_at(deadline, self.open_session()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(Some(connection)) => {
                    let made = Instant::now();
                    return Ok(Lease::new(self, Held { connection, made, proven: made, place }));
                }
                Err(error) if !may_pass(&error) => return Err(error),
                Ok(None) | Err(_) => {}
            }
            tokio::time::sleep(back_off).await;
            back_off = (back_off * 2).min(LAST_BACK_OFF);
        }
    }

    /// A new connection; `None` if its session could not be set up.
    async fn open_session(&self) -> sqlx::Result<Option<PgConnection>> {
        let mut connection = PgConnection::connect_with(&self.options()).await?;
        if let Some(session) = &self.0.limits.session
            && let Err(error) = connection.execute(sqlx::raw_sql(AssertSqlSafe(session.clone()))).await
        {
            tracing::error!(%error, "a new session could not be set up");
            return Ok(None);
        }
        Ok(Some(connection))
    }

    /// Keeps a clean connection; returns any other.
    pub fn put_back(&self, held: Held) -> Result<(), Held> {
        let (idle, place) = Idle::new(held)?;
        self.0.idle().push(idle);
        drop(place);
        Ok(())
    }

    /// Closes a connection at once, whatever is in flight.
    pub fn give_up(&self, held: Held) {
        self.0.given_up.fetch_add(1, Ordering::Relaxed);
        drop(held);
    }

    /// Records that a connection has just been found dead.
    pub fn note_loss(&self) {
        self.0.last_loss.note();
    }

    /// Records that the schema has changed: no older connection is used again.
    pub fn note_change(&self) {
        self.0.last_change.note();
    }

    pub fn max_connections(&self) -> u32 {
        self.0.limits.max_connections
    }

    /// The options that new connections are opened with.
    pub fn options(&self) -> Arc<PgConnectOptions> {
        self.0.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the options that new connections are opened with.
    pub fn set_options(&self, options: PgConnectOptions) {
        *self.0.options.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    pub fn status(&self) -> PoolStatus {
        let Shared { limits, places, waiting, expired, dead, given_up, .. } = &*self.0;
        let idle = self.0.idle().len();
        let max_connections = usize::try_from(limits.max_connections).unwrap_or(usize::MAX);
        PoolStatus {
            connections: max_connections.saturating_sub(places.available_permits()) + idle,
            idle,
            waiting: waiting.load(Ordering::Relaxed),
            expired: expired.load(Ordering::Relaxed),
            dead: dead.load(Ordering::Relaxed),
            given_up: given_up.load(Ordering::Relaxed),
        }
    }

    /// Stops lending, waits for the connections in use, and closes all of them.
    pub async fn close(&self) {
        self.0.is_closing.send_replace(true);
        let _all = self.0.places.acquire_many(self.0.limits.max_connections).await;
        loop {
            // A separate statement: the lock is not held while the connection is closed.
            let Some(idle) = self.0.idle().pop() else { return };
            say_goodbye(idle.connection).await;
        }
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a connection that is too old, or has been idle for too long.
    fn take_expired(&self) -> Option<Idle> {
        let Limits { idle_timeout, max_age, .. } = self.limits;
        let is_expired = |idle: &Idle| idle.since.elapsed() > idle_timeout || idle.made.elapsed() > max_age;
        let mut idle = self.idle();
        let at = idle.iter().position(is_expired)?;
        Some(idle.remove(at))
    }
}

/// Closes connections that are too old or not needed, for as long as the pool exists.
async fn sweep(pool: Weak<Shared>) {
    while let Some(shared) = pool.upgrade() {
        // Takes a place, because a connection still counts while it is being closed.
        while let Ok(_place) = shared.places.try_acquire()
            && let Some(idle) = shared.take_expired()
        {
            shared.expired.fetch_add(1, Ordering::Relaxed);
            say_goodbye(idle.connection).await;
        }
        let period = shared.limits.idle_timeout.min(shared.limits.max_age);
        drop(shared);
        tokio::time::sleep(period).await;
    }
}

/// Closes a connection with a Terminate message, so that the server frees its slot at once.
async fn say_goodbye(connection: PgConnection) {
    let _closed = timeout(CLOSE_TIMEOUT, connection.close()).await;
}

/// Whether connecting may succeed shortly: nothing listens yet, or the server is starting up.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
