//! Who somebody is.

use crate::{id, text_enum};

id! {
    /// A user: `stm.users.id`, and `sub` of an access token.
    UserId(i64)
}

text_enum! {
    /// What a user is on the marketplace.
    Role {
        /// Books.
        Customer = "customer",
        /// Is booked.
        ServiceProvider = "service_provider",
        /// Oversees a region's providers.
        LocalServiceManager = "local_service_manager",
        /// Runs the platform.
        Admin = "admin",
    }
}
