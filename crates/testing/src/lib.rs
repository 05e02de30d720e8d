//! What the tests and benches of this workspace share.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

pub mod pgbench;
pub mod process;
pub mod proxy;
pub mod queries;
pub mod report;
pub mod scripted_pooler;
mod stack;
pub mod usage;

pub use stack::{Database, PATIENCE, Stack, execute, lasting_port, shared_stack, url};
