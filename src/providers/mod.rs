//! Providers.

mod types;

pub use types::ProviderId;
