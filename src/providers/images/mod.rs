//! The pictures of the calling provider's public page: logo, banner and gallery.

mod http;
mod queries;

pub(super) use http::routes;
