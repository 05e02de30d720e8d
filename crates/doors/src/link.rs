//! A connection of sqlx with the relay at its other end, both driven by the task that waits for the one.
//!
//! The two speak through a socket, but nothing crosses from task to task: after every poll of what is done on the connection
//! the relay is polled too, and finds what was written. So the relay's end of the socket needs no wake-ups of its own
//! ([`Inside`](crate::local_socket::Inside)). sqlx's connection is private here: nobody can wait for it and leave the
//! relay out.
//!
//! Dropped, sqlx's end is closed first. The relay then runs to its end in a task of its own, where it finds its client gone:
//! every read and write of it is ready at once.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgTransactionManager};
use sqlx::{Connection as _, Either, Execute, Executor as _, PgConnection, Postgres};
use sqlx_core::transaction::TransactionManager as _;

use crate::local_socket::{OneShot, Signal};
use crate::relay::Relay;
use crate::to_its_end::ToItsEnd;

/// A connection, through a relay or without one.
#[derive(Debug)]
pub struct Link {
    /// Above the relay, because what stands above is dropped first.
    connection: PgConnection,
    relay: Option<RelayEnd>,
}

/// The relay at the other end.
#[derive(Debug)]
struct RelayEnd {
    /// Above the relay, which is to know before it goes on by itself.
    signal: Signal,
    relay: ToItsEnd<()>,
}

impl RelayEnd {
    /// Lets it find what sqlx has written, and room where it has read.
    fn drive(&mut self, cx: &mut Context<'_>) {
        self.signal.raise();
        // That it has ended, sqlx reads from the socket, which is closed by then.
        let _ends = self.relay.poll_unpin(cx);
    }

    /// Lets it find what the pooler has sent while nobody waited for anything. Not woken: whoever uses the connection next
    /// drives it again.
    fn look(&mut self) {
        let _ends = self.relay.poll_unpin(&mut Context::from_waker(Waker::noop()));
    }
}

/// A connection that is being made. The order of the fields is that of [`Link`].
struct Connecting {
    connection: BoxFuture<'static, sqlx::Result<PgConnection>>,
    relay: Option<RelayEnd>,
}

impl Link {
    /// Connects, through `relay` if there is one: by a socket that serves this connection only, so that two that are made
    /// at once cannot be mixed up.
    pub async fn connect(options: PgConnectOptions, relay: Option<&Relay>) -> sqlx::Result<Self> {
        let Some(relay) = relay else {
            return Ok(Self { connection: PgConnection::connect_with(&options).await?, relay: None });
        };
        let socket = OneShot::open()?;
        let options = socket.lead(options);
        let connection = async move { PgConnection::connect_with(&options).await }.boxed();
        let mut connecting = Connecting { connection, relay: None };
        let client = tokio::select! {
            biased;
            connected = &mut connecting.connection => {
                return Err(connected.err().unwrap_or(sqlx::Error::WorkerCrashed));
            }
            client = socket.accept() => client?,
        };
        let Connecting { connection, relay: end } = &mut connecting;
        let (signal, relay) = relay.serve(client)?;
        *end = Some(RelayEnd { signal, relay });
        let connection = poll_fn(|cx| poll_both(end, cx, |cx| connection.poll_unpin(cx))).await?;
        Ok(Self { connection, relay: connecting.relay.take() })
    }

    /// What `work` on the connection returns.
    pub async fn work<'l, F: Future>(&'l mut self, work: impl FnOnce(&'l mut PgConnection) -> F) -> F::Output {
        let Self { connection, relay } = self;
        let mut work = pin!(work(connection));
        poll_fn(|cx| poll_both(relay, cx, |cx| work.as_mut().poll(cx))).await
    }

    /// What `query` answers.
    pub fn fetch_many<'l, 'q: 'l>(&'l mut self, query: impl Execute<'q, Postgres> + 'q) -> Answers<'l> {
        let Self { connection, relay } = self;
        Answers { answers: connection.fetch_many(query), relay }
    }

    /// Whether no transaction is open, everything is sent and every answer read.
    pub fn is_in_order(&mut self) -> bool {
        let Self { connection, .. } = self;
        // sqlx's `flush` waits for the answers that are due: it is ready at once if none is.
        PgTransactionManager::get_transaction_depth(connection) == 0
            && !connection.should_flush()
            && matches!(connection.flush().now_or_never(), Some(Ok(())))
    }

    /// Whether the relay still has its connection, after a look at what has arrived since it was last driven. Without a
    /// relay nobody knows.
    pub fn is_alive(&mut self) -> bool {
        let Some(end) = &mut self.relay else { return true };
        end.look();
        !end.relay.is_over()
    }

    /// Takes leave of the server, and returns when the relay has done so too.
    pub async fn close(self) {
        let Self { connection, mut relay } = self;
        let mut closes = pin!(connection.close());
        let _closed = poll_fn(|cx| poll_both(&mut relay, cx, |cx| closes.as_mut().poll(cx))).await;
        if let Some(RelayEnd { signal, relay }) = relay
            && !relay.is_over()
        {
            drop(signal);
            relay.await;
        }
    }

    /// The connection itself, for a user who may do anything with it; `None` if it needs a relay.
    pub fn into_connection(self) -> Option<PgConnection> {
        self.relay.is_none().then_some(self.connection)
    }
}

/// The answers to a query. Dropped, those that are on their way are still to be read.
pub struct Answers<'l> {
    answers: BoxStream<'l, sqlx::Result<Either<PgQueryResult, PgRow>>>,
    relay: &'l mut Option<RelayEnd>,
}

impl Stream for Answers<'_> {
    type Item = sqlx::Result<Either<PgQueryResult, PgRow>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { answers, relay } = &mut *self;
        poll_both(relay, cx, |cx| answers.as_mut().poll_next(cx))
    }
}

/// Polls work on sqlx's end, and then the relay.
fn poll_both<T>(
    relay: &mut Option<RelayEnd>,
    cx: &mut Context<'_>,
    work: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let polled = work(cx);
    if let Some(relay) = relay
        && polled.is_pending()
    {
        relay.drive(cx);
    }
    polled
}

#[cfg(test)]
pub(crate) mod tests;
