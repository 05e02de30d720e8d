//! What customers say of jobs that are done and paid.
//!
//! Invariants: a job is reviewed once, by its customer; a provider's rating is the mean of its reviews as they
//! are committed, however many are given at the same time.

mod feedback;
mod feedback_queries;
mod http;
mod queries;
mod types;

pub use feedback::customer_routes;
pub use feedback_queries::{lock_provider, set_rating};
pub use http::provider_routes;
pub use types::StarCounts;
