//! A service's id, and the order of its providers.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::id;

id! {
    /// A service: `stm.services.id`.
    ServiceId(i64)
}

/// How providers are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortBy {
    /// Best first.
    #[default]
    Rating,
    /// Cheapest first.
    Price,
    /// Most jobs done first.
    Jobs,
}

impl SortBy {
    /// The word in SQL and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rating => "rating",
            Self::Price => "price",
            Self::Jobs => "jobs",
        }
    }
}
