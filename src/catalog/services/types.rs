//! The order of a service's providers: no I/O.

use serde::Deserialize;
use utoipa::ToSchema;

/// The order of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SortBy {
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
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rating => "rating",
            Self::Price => "price",
            Self::Jobs => "jobs",
        }
    }
}
