//! Shared parts of all routes.

pub(crate) mod dates;
pub(crate) mod docs;
pub(crate) mod extract;
pub(crate) mod fields;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod layers;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod reading;
pub(crate) mod text;

/// An answer without data.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct MessageView {
    /// The effect of the request, as a sentence.
    message: &'static str,
}

impl MessageView {
    /// The response with this message.
    pub(crate) const fn new(message: &'static str) -> Self {
        Self { message }
    }
}
