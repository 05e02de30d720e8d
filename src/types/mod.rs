//! The ids, words, amounts and times that all parts of the application share.
//!
//! Invariant: it imports nothing of ours, so that everything may import it.

mod ids;
mod money;
mod time;
mod words;

pub use ids::*;
pub use money::Cents;
pub use time::Timestamp;
pub(crate) use words::text_enum;
pub use words::{JobStatus, OfferStatus, Party, Role, Side};
