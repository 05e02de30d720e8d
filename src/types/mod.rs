//! Ids, words, money and times that all parts of the application share.
//!
//! Invariant: this module imports nothing else of the application, so that everything may import it.

mod ids;
mod money;
pub(crate) mod time;
mod words;

pub use ids::*;
pub use money::Cents;
pub use time::Timestamp;
pub(crate) use words::text_enum;
pub use words::{JobStatus, OfferStatus, Party, Role, Side};
