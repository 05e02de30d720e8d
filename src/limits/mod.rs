//! Limits on how often something may be done: by client address and by account.
//!
//! Everything here counts in memory, in each process for itself. What guards passwords and one-time codes is counted in
//! the database instead, by `auth::attempts`, with the quotas from here. Neither can be made to grow: a count belongs to
//! one of a fixed number of buckets, which addresses and accounts fall into by a secret hash.

mod address;
mod layer;
mod memory;
mod policy;

pub(crate) use address::{ClientAddress, TrustedProxies};
#[cfg(test)]
pub(crate) use layer::LIMITED;
pub(crate) use layer::{Doorkeeper, admit};
pub use memory::Limits;
pub(crate) use policy::{By, Policy, Quota, Quotas, exceeded};
