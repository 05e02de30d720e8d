//! Enums that several features share, with the same words in SQL, Rust and JSON.

/// Declares an enum that is `text` with a check in SQL, and the same word in JSON.
///
/// Not a PostgreSQL enum: sqlx would look such a type up between Parse and Bind, which loses an unnamed
/// statement (<https://github.com/launchbadge/sqlx/issues/4305>).
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:tt,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[allow(unreachable_pub, reason = "some are private to their feature")]
        // `$text` is a `tt`: utoipa does not see the value of a `literal`, and would document the Rust names.
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The word in SQL and JSON.
            #[must_use]
            #[allow(dead_code, unreachable_pub, reason = "some words are only read, some are private to their feature")]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl sqlx::Type<sqlx::Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as sqlx::Type<sqlx::Postgres>>::type_info()
            }

            fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Postgres>>::compatible(ty)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Postgres> for $name {
            fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                match <&str as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)? {
                    $($text => Ok(Self::$variant),)+
                    unknown => Err(format!("unknown {} `{unknown}`", stringify!($name)).into()),
                }
            }
        }
    };
}

pub(crate) use text_enum;

text_enum! {
    /// The role of a user on the marketplace.
    Role {
        /// Books providers.
        Customer = "customer",
        /// Is booked by customers.
        ServiceProvider = "service_provider",
        /// Oversees a region's providers.
        LocalServiceManager = "local_service_manager",
        /// Runs the platform.
        Admin = "admin",
    }
}

text_enum! {
    /// The status of a job.
    JobStatus {
        /// Requested.
        New = "new",
        /// Agreed upon.
        InProgress = "in_progress",
        /// Done, not paid.
        Completed = "completed",
        /// Done and paid.
        Paid = "paid",
        /// Given up by the customer.
        Cancelled = "cancelled",
        /// Turned down by the provider.
        RejectedBySp = "rejected_by_sp",
    }
}

impl JobStatus {
    /// Whether the work is still to be done: it can be cancelled.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::New | Self::InProgress)
    }
}

text_enum! {
    /// Who makes, or answers, an offer.
    Party {
        /// The customer who booked.
        Customer = "customer",
        /// Is booked by customers.
        ServiceProvider = "service_provider",
    }
}

text_enum! {
    /// The status of an offer.
    OfferStatus {
        /// Waits for the other party.
        Open = "open",
        /// The other party took it.
        Accepted = "accepted",
        /// The other party did not take it.
        Declined = "declined",
        /// The other party answered with an offer of its own.
        Countered = "countered",
        /// Overtaken: by a new offer of the same party, or by what happened to the job.
        Withdrawn = "withdrawn",
    }
}

text_enum! {
    /// A member's side of a chat.
    Side {
        /// The customer who booked.
        Customer = "customer",
        /// Is booked by customers.
        ServiceProvider = "service_provider",
        /// The local service manager who settles a dispute.
        LocalServiceManager = "local_service_manager",
    }
}
