//! What the tests and benches of this workspace share.
//!
//! The feature `service` adds what drives the application as a process: `server::Server`, `world::World` with its
//! users, a Socket.IO client, and the documents that every answer is checked against. Nothing here depends on the
//! application's code: the path of its binary is an argument.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[cfg(feature = "service")]
pub mod chat_load;
#[cfg(feature = "service")]
pub mod chats;
#[cfg(feature = "service")]
pub mod contract;
pub mod pgbench;
pub mod process;
pub mod proxy;
pub mod queries;
#[cfg(feature = "service")]
pub mod reader;
pub mod report;
pub mod scripted_pooler;
#[cfg(feature = "service")]
pub mod server;
#[cfg(feature = "service")]
pub mod socket_io;
mod stack;
#[cfg(feature = "service")]
pub mod token;
pub mod usage;
#[cfg(feature = "service")]
pub mod world;

pub use stack::{Database, PATIENCE, Stack, as_service, execute, lasting_port, s3, shared_stack, url};
