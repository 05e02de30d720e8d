//! The service as its clients see it: the real `serve` process, on real PostgreSQL, the REST door through a
//! real PgBouncer in transaction mode. `DATABASE_URL` and `DIRECT_URL` say where they are; every test makes a
//! database of its own there. `make test` sets all of that up.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "tests fail by panicking")]

mod access;
mod auth;
mod booking;
mod catalog;
mod chaos;
mod chat;
mod chat_lists;
mod connections;
mod customers;
mod deadlines;
mod disputes;
mod docs;
mod drops;
mod errors;
mod explain;
mod hang_ups;
mod harness;
mod idempotency;
mod imports;
mod jobs;
mod main_job;
mod model;
mod negotiation;
mod notifications;
mod outage;
mod pause;
mod provider_lists;
mod providers;
mod races;
mod realtime;
mod reviews;
mod schema;
mod search;
mod service_requests;
mod stalled;
mod startup;
mod story;

#[path = "../support/chats.rs"]
mod chats;
#[path = "../support/reader.rs"]
mod reader;
#[path = "../support/socket_io.rs"]
mod socket_io;
