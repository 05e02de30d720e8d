//! The calling customer: profile, dashboard and jobs.
//!
//! Invariant: a customer sees and changes only what is found by the caller's own user id.

mod dashboard;
mod dashboard_queries;
mod http;
mod jobs;
mod jobs_queries;
mod queries;

pub use dashboard::dashboard_routes;
pub use http::routes;
pub use jobs::job_routes;
