//! The relay to the transaction pooler: any bytes from both sides.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

/// The pure part of the relay, under the paths by which its modules know each other.
#[path = "../../src/guard.rs"]
pub mod guard;
#[path = "../../src/relay"]
pub mod relay {
    pub mod begin;
    pub mod columns;
    pub mod conversation;
    pub mod counters;
    pub mod descriptions;
    pub mod frame;
    pub mod fuzz;
    pub mod pending;
    pub mod statements;
}

fuzz_target!(|data: &[u8]| relay::fuzz::converse(data));
