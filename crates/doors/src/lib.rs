//! Two doors to one PostgreSQL: a transaction pooler and a direct connection, as different types.
//!
//! | | [`Pooler`] | [`Direct`] |
//! |---|---|---|
//! | secret | `DATABASE_URL`, a transaction pooler | `DIRECT_URL`, a session |
//! | for | requests: many, short, any number of processes | what is frequent or needs a session: chat, LISTEN, migrations |
//! | lends | transactions, and single reading statements | transactions, statements, sessions |
//! | statements | unnamed; or named, behind a relay that passes no name on | named, cached |
//!
//! sqlx by itself is not safe on a transaction pooler: its statements can run as somebody else's. The crate's README has
//! the figures, and an example with axum.
//!
//! Which door a function uses is in its signature, and the two do not mix:
//!
//! ```compile_fail,E0308
//! # async fn f(direct: &doors::Direct) -> sqlx::Result<()> {
//! async fn of_rest(tx: &mut doors::Tx<doors::Pooler>) {}
//! let mut tx = direct.write().await?;
//! of_rest(&mut tx).await; // a socket's transaction where REST's is wanted
//! # Ok(()) }
//! ```
//!
//! ```compile_fail,E0308
//! # async fn f(pooler: &doors::Pooler) -> sqlx::Result<()> {
//! async fn of_sockets(direct: &doors::Direct) {}
//! of_sockets(pooler).await; // the pooler where a session is wanted
//! # Ok(()) }
//! ```
//!
//! The pooler's connections are out of reach: what travels through them is in a transaction, or is a single read:
//!
//! ```compile_fail,E0616
//! # async fn f(pooler: &doors::Pooler) -> sqlx::Result<()> {
//! sqlx::query("select 1").execute(&pooler.pool).await?;
//! # Ok(()) }
//! ```
//!
//! ```compile_fail,E0614
//! # async fn f(tx: &mut doors::Tx<doors::Pooler>) -> sqlx::Result<()> {
//! sqlx::query("select 1").execute(&mut **tx).await?; // no way from the transaction to its connection
//! # Ok(()) }
//! ```

mod access;
mod budget;
mod connect;
pub mod diagnose;
mod direct;
mod guard;
mod known_columns;
mod lease;
mod limits;
mod local_socket;
mod loss;
mod meaning;
mod migrate;
mod pool;
mod pooler;
pub mod probe;
mod relay;
mod role;
mod settings;
mod tls_tunnel;
mod to_its_end;
mod tx;
mod upstream;
pub mod url;

pub use access::Access;
pub use budget::with_budget;
pub use connect::{Doors, connect};
pub use direct::Direct;
pub use lease::Lease;
pub use meaning::{Meaning, is_connection_loss, meaning, sqlstate};
pub use migrate::{check_same_database, migrate};
pub use pool::PoolStatus;
pub use pooler::Pooler;
pub use relay::RelayCounters;
pub use settings::{DirectSettings, PoolerLimits, PoolerSettings, PoolerWire};
pub use tx::{Door, Tx};

use std::time::Duration;

/// How long a request waits for a connection of either door before it is refused.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
