//! What the tests and benches of this workspace share.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

pub mod process;
pub mod proxy;
pub mod scripted_pooler;
mod stack;

pub use stack::{Database, PATIENCE, Stack, execute, lasting_port, url};
