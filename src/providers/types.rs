//! A provider's id.

use crate::id;

id! {
    /// A provider: `stm.providers.id`.
    ProviderId(i64)
}
