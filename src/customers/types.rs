//! A customer's id.

use crate::id;

id! {
    /// A customer: `stm.customers.id`.
    CustomerId(i64)
}
