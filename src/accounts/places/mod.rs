//! Cities by ZIP code: from the loaded file of places, or else as providers and customers have named them.

mod http;
mod queries;

pub(super) use http::routes;
