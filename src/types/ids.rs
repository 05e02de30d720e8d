//! Ids: one type per table, in SQL, Rust and JSON alike.

use uuid::Uuid;

/// Declares an id: a number or UUID that cannot be mistaken for the id of another table.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, sqlx::Type, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A user: `stm.users.id`, and `sub` of an access token.
    UserId(i64)
}

id! {
    /// A customer: `stm.customers.id`.
    CustomerId(i64)
}

id! {
    /// A provider: `stm.providers.id`.
    ProviderId(i64)
}

id! {
    /// A local service manager: `stm.local_service_managers.id`.
    LsmId(i64)
}

id! {
    /// A service: `stm.services.id`.
    ServiceId(i64)
}

id! {
    /// A request for a service: `stm.service_requests.id`.
    ServiceRequestId(i64)
}

id! {
    /// A job: `stm.jobs.id`.
    JobId(i64)
}

id! {
    /// An offer: `stm.offers.id`.
    OfferId(i64)
}

id! {
    /// A review: `stm.reviews.id`.
    ReviewId(i64)
}

id! {
    /// A dispute: `stm.disputes.id`.
    DisputeId(i64)
}

id! {
    /// A document of a provider: `stm.provider_documents.id`.
    DocumentId(i64)
}

id! {
    /// An invoice: `stm.invoices.id`.
    InvoiceId(i64)
}

id! {
    /// A request to ban a provider: `stm.ban_requests.id`.
    BanRequestId(i64)
}

id! {
    /// A chat: a UUID, version 7.
    ChatId(Uuid)
}

id! {
    /// A message: a UUID, version 7.
    MessageId(Uuid)
}

id! {
    /// A notification: a UUID, version 7.
    NotificationId(Uuid)
}
