//! Offers about a new job, and the answers of the other party. Over REST and over Socket.IO, by the same rules
//! (`jobs/rules.rs`) and in the same rows.
//!
//! Invariants: at most one offer per job is open; only the party that did not make it answers it; every offer is kept,
//! with its final status; an offer belongs to the chat in which it was made, so that another provider never sees it.

mod commands;
mod http;
pub(crate) mod queries;
pub(crate) mod socket;
mod types;

pub(crate) use commands::emit;
pub(crate) use http::routes;
pub(crate) use types::{
    FieldNames, NegotiationOfferSent, NegotiationResponse, OfferView, Proposal, RespondSocketRequest,
    SendOfferSocketRequest, check, no_chat,
};
