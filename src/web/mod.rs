//! What all routes share.

pub mod dates;
pub mod docs;
pub mod extract;
pub mod fields;
pub mod health;
pub mod home;
pub mod layers;
pub mod origin;
pub mod page;

/// An answer that only says what was done.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MessageView {
    /// What was done, as a sentence.
    message: &'static str,
}

impl MessageView {
    /// The response with this message.
    #[must_use]
    pub const fn new(message: &'static str) -> Self {
        Self { message }
    }
}
