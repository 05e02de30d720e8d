//! The service as its clients see it: the real `serve` process, on real PostgreSQL, the REST door through a real
//! PgBouncer in transaction mode. `DATABASE_URL` and `DIRECT_URL` locate them; every test makes a database of its own
//! there. `make test` sets all of that up.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "tests fail by panicking")]

mod chat;
mod database;
mod faults;
mod imports;
mod routes;
mod support;
