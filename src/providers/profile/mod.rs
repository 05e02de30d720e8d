//! The calling provider's profile.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
pub(crate) use http::{DocumentView, DocumentsView};
