//! Offers as values, and what clients send about them. No I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::jobs::{Action, Terms};
use crate::realtime::{ClientEvent, ServerEvent};
use crate::types::{Cents, ChatId, JobId, OfferId, OfferStatus, Party, Timestamp, text_enum};
use crate::web::dates::parse_appointment;
use crate::web::fields::Fields;

/// The longest notes of an offer, in characters.
const MAX_NOTES_CHARS: usize = 1000;

/// The largest changed answers, as JSON, in bytes.
const MAX_ANSWERS_BYTES: usize = 16 * 1024;

/// An offer that breaks no rule for its fields.
#[derive(Debug, Clone, Default)]
pub struct Proposal {
    /// The price and the date.
    pub terms: Terms,
    /// In the party's own words.
    pub notes: Option<String>,
    /// Changed answers to the service's questions.
    pub answers: Option<serde_json::Value>,
}

/// The fields of an offer as a request names them.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The price's.
    pub price: &'static str,
    /// The date's.
    pub date: &'static str,
    /// The notes'.
    pub notes: &'static str,
    /// The answers'.
    pub answers: &'static str,
}

impl Proposal {
    /// Reads an offer. It must propose something.
    ///
    /// # Errors
    /// 400 with each field named.
    pub fn read(
        names: Names,
        price: Option<Cents>,
        date: Option<String>,
        notes: Option<String>,
        answers: Option<serde_json::Value>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut rules = Fields::new();
        let date = date.filter(|text| !text.trim().is_empty());
        let scheduled_at = date.as_deref().and_then(parse_appointment);
        rules.check(names.date, date.is_none() || scheduled_at.is_some(), "must be an ISO-8601 date");
        rules.appointment(names.date, scheduled_at, now);
        let notes = rules.optional_text(names.notes, notes, MAX_NOTES_CHARS);
        let answers = answers.filter(|answers| !answers.is_null());
        if let Some(answers) = &answers {
            rules.check(names.answers, answers.is_object() || answers.is_array(), "must be an object or a list");
            let fits = answers.to_string().len() <= MAX_ANSWERS_BYTES;
            rules.check(names.answers, fits, "must be at most 16384 bytes of JSON");
        }
        rules.finish()?;
        let proposal = Self { terms: Terms { price, scheduled_at }, notes, answers };
        if proposal.is_empty() {
            let message = format!(
                "an offer must propose a price ({}), a date ({}) or something in words ({})",
                names.price, names.date, names.notes
            );
            return Err(Error::Refused("empty_offer", message));
        }
        Ok(proposal)
    }

    fn is_empty(&self) -> bool {
        self.terms == Terms::default() && self.notes.is_none() && self.answers.is_none()
    }
}

text_enum! {
    /// What a party says to the other's offer.
    ResponseAction {
        /// Takes it.
        Accept = "accept",
        /// Does not take it.
        Decline = "decline",
        /// Makes an offer of its own instead.
        Counter = "counter",
    }
}

impl ResponseAction {
    /// What it does with the job.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Accept => Action::AcceptOffer,
            Self::Decline => Action::DeclineOffer,
            Self::Counter => Action::CounterOffer,
        }
    }
}

/// An offer to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SendOfferRequest {
    /// About which job.
    #[schema(value_type = JobId)]
    pub job_id: Option<JobId>,
    /// In dollars; the price stays if left out.
    pub proposed_price: Option<Cents>,
    /// ISO-8601; the date stays if left out.
    pub proposed_date: Option<String>,
    /// At most 1,000 characters.
    pub notes: Option<String>,
}

/// `send_negotiation_offer`: as REST, with `jobId`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SendOfferSocketRequest {
    /// About which job.
    #[serde(rename = "jobId", alias = "job_id")]
    pub job_id: JobId,
    /// In dollars; the price stays if left out.
    #[serde(alias = "proposedPrice")]
    pub proposed_price: Option<Cents>,
    /// ISO-8601; the date stays if left out.
    #[serde(alias = "proposedDate")]
    pub proposed_date: Option<String>,
    /// At most 1,000 characters.
    pub notes: Option<String>,
}

impl ClientEvent for SendOfferSocketRequest {
    const NAME: &'static str = "send_negotiation_offer";
    type Ack = OfferSentView;
}

/// What a party says to the other's offer.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RespondRequest {
    /// About which job.
    #[schema(value_type = JobId)]
    pub job_id: Option<JobId>,
    /// Which offer is meant: 409 if it is not the open one any more. Whichever is open, if left out.
    pub offer_id: Option<OfferId>,
    /// Takes it, does not, or makes an offer of its own.
    pub action: ResponseAction,
    /// In dollars; with `counter`.
    pub counter_proposed_price: Option<Cents>,
    /// ISO-8601; with `counter`.
    pub counter_proposed_date: Option<String>,
    /// At most 1,000 characters; with `counter`.
    pub counter_notes: Option<String>,
}

/// `respond_to_negotiation`: as REST, with `jobId`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RespondSocketRequest {
    /// About which job.
    #[serde(rename = "jobId", alias = "job_id")]
    pub job_id: JobId,
    /// Which offer is meant: refused if it is not the open one any more. Whichever is open, if left out.
    #[serde(rename = "offerId", alias = "offer_id")]
    pub offer_id: Option<OfferId>,
    /// Takes it, does not, or makes an offer of its own.
    pub action: ResponseAction,
    /// In dollars; with `counter`.
    #[serde(alias = "counterProposedPrice")]
    pub counter_proposed_price: Option<Cents>,
    /// ISO-8601; with `counter`.
    #[serde(alias = "counterProposedDate")]
    pub counter_proposed_date: Option<String>,
    /// At most 1,000 characters; with `counter`.
    #[serde(alias = "counterNotes")]
    pub counter_notes: Option<String>,
}

impl ClientEvent for RespondSocketRequest {
    const NAME: &'static str = "respond_to_negotiation";
    type Ack = RespondedView;
}

/// An offer, as both parties see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OfferView {
    /// Id.
    pub id: OfferId,
    /// About which job.
    pub job_id: JobId,
    /// Who made it.
    pub offered_by: Party,
    /// In dollars; null: the price stays.
    pub proposed_price: Option<Cents>,
    /// Null: the date stays.
    pub proposed_date: Option<Timestamp>,
    /// In the party's own words.
    pub notes: Option<String>,
    /// Changed answers to the service's questions.
    #[schema(value_type = Option<Object>)]
    pub answers: Option<serde_json::Value>,
    /// What became of it.
    pub status: OfferStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was answered or withdrawn.
    pub answered_at: Option<Timestamp>,
}

/// An offer was made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OfferSentView {
    /// True.
    pub success: bool,
    /// A sentence.
    pub message: &'static str,
    /// The offer.
    pub offer: OfferView,
}

/// An offer was answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RespondedView {
    /// True.
    pub success: bool,
    /// A sentence.
    pub message: &'static str,
    /// How.
    pub action: ResponseAction,
    /// With `counter`: the new offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferView>,
}

/// `negotiation_offer_sent`: somebody in the chat has made an offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NegotiationOfferSent {
    /// Which chat.
    pub chat_id: ChatId,
    /// About which job.
    pub job_id: JobId,
    /// The offer.
    pub offer: OfferView,
}

impl ServerEvent for NegotiationOfferSent {
    const NAME: &'static str = "negotiation_offer_sent";
}

/// `negotiation_response`: somebody in the chat has answered an offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NegotiationResponse {
    /// Which chat.
    pub chat_id: ChatId,
    /// About which job.
    pub job_id: JobId,
    /// How.
    pub action: ResponseAction,
    /// Who.
    pub responded_by: Party,
    /// With `counter`: the new offer.
    pub offer: Option<OfferView>,
}

impl ServerEvent for NegotiationResponse {
    const NAME: &'static str = "negotiation_response";
}
