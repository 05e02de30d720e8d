//! Offers, and the requests and views about them. No I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::error::{Error, Result, invalid};
use crate::jobs::types::{Command, Terms};
use crate::realtime::{ClientEvent, ServerEvent};
use crate::types::{Cents, ChatId, JobId, OfferId, OfferStatus, Party, Timestamp, text_enum};
use crate::web::fields::Fields;

/// The most offers about one job.
const MAX_OFFERS: i64 = 100;

/// The longest notes of an offer, in characters.
const MAX_NOTES_CHARS: usize = 1000;

/// The largest changed answers, as JSON, in bytes.
const MAX_ANSWERS_BYTES: usize = 16 * 1024;

/// An offer that breaks no rule for its fields.
#[derive(Debug, Clone, Default)]
pub struct Proposal {
    pub terms: Terms,
    pub notes: Option<String>,
    /// Changed answers to the service's questions.
    pub answers: Option<serde_json::Value>,
}

/// The fields of an offer as a request names them.
#[derive(Debug, Clone, Copy)]
pub struct FieldNames {
    pub price: &'static str,
    pub date: &'static str,
    pub notes: &'static str,
    pub answers: &'static str,
}

const SENT: FieldNames =
    FieldNames { price: "proposed_price", date: "proposed_date", notes: "notes", answers: "answers" };
const COUNTERED: FieldNames = FieldNames {
    price: "counter_proposed_price",
    date: "counter_proposed_date",
    notes: "counter_notes",
    answers: "counter_answers",
};

impl Proposal {
    /// Reads an offer. It must propose something.
    ///
    /// # Errors
    /// 400 with each field named.
    pub fn read(
        names: FieldNames,
        price: Option<Cents>,
        date: Option<&str>,
        notes: Option<String>,
        answers: Option<serde_json::Value>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut rules = Fields::new();
        let scheduled_at = rules.appointment(names.date, date, now);
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
    /// An answer to the other party's offer.
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
    /// The response that a command is. Returns `None` if it does not answer an offer as such.
    pub(crate) const fn of(command: &Command) -> Option<Self> {
        match command {
            Command::AcceptOffer { .. } => Some(Self::Accept),
            Command::DeclineOffer { .. } => Some(Self::Decline),
            Command::CounterOffer { .. } => Some(Self::Counter),
            Command::Accept { .. }
            | Command::Reject { .. }
            | Command::SendOffer { .. }
            | Command::CloseDeal
            | Command::Cancel { .. }
            | Command::Reassign { .. }
            | Command::Resend
            | Command::MarkComplete
            | Command::MarkPayment { .. }
            | Command::SendInvoice
            | Command::FailPayment
            | Command::VoidInvoice
            | Command::Refund { .. }
            | Command::MissDeadline
            | Command::Review
            | Command::Dispute => None,
        }
    }
}

/// Checks a command against the job's offers: the one it names must be `open`, and only so many may be made.
///
/// # Errors
/// 409 which of the two it is.
pub(crate) fn check(command: &Command, open: Option<OfferId>, count: i64) -> Result<()> {
    let named = command.named_offer();
    if named.is_some() && named != open {
        let message = "this offer is not the open one any more: look at the job again";
        return Err(Error::Conflict("offer_changed", message.into()));
    }
    if command.proposal().is_some() && count >= MAX_OFFERS {
        let message = "this job has had 100 offers: accept, cancel or reject it";
        return Err(Error::Conflict("too_many_offers", message.into()));
    }
    Ok(())
}

/// The refusal of an offer that no chat could hold.
pub(crate) fn no_chat() -> Error {
    Error::Conflict("no_chat", "this job has no chat to negotiate in".into())
}

/// An offer to be made, without faults.
#[derive(Debug)]
pub(super) struct NewOffer {
    pub job: JobId,
    pub proposal: Proposal,
}

/// An answer to an offer, without faults.
#[derive(Debug)]
pub(super) struct Response {
    pub job: JobId,
    pub action: ResponseAction,
    pub command: Command,
}

/// A new offer.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SendOfferRequest {
    #[schema(value_type = JobId)]
    pub job_id: Option<JobId>,
    /// In dollars; the price does not change if left out.
    pub proposed_price: Option<Cents>,
    /// ISO-8601; the date does not change if left out.
    pub proposed_date: Option<String>,
    /// At most 1,000 characters.
    pub notes: Option<String>,
}

impl SendOfferRequest {
    /// Checks the request.
    ///
    /// # Errors
    /// 400 with each bad field named.
    pub(super) fn check(self, now: DateTime<Utc>) -> Result<NewOffer> {
        let proposal = Proposal::read(SENT, self.proposed_price, self.proposed_date.as_deref(), self.notes, None, now);
        let job = self.job_id.ok_or_else(|| invalid("job_id", "must be a job's id"))?;
        Ok(NewOffer { job, proposal: proposal? })
    }
}

/// `send_negotiation_offer`: as REST, with `jobId`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SendOfferSocketRequest {
    #[serde(rename = "jobId")]
    pub job_id: JobId,
    /// In dollars; the price does not change if left out.
    pub proposed_price: Option<Cents>,
    /// ISO-8601; the date does not change if left out.
    pub proposed_date: Option<String>,
    /// At most 1,000 characters.
    pub notes: Option<String>,
}

impl From<SendOfferSocketRequest> for SendOfferRequest {
    fn from(event: SendOfferSocketRequest) -> Self {
        let SendOfferSocketRequest { job_id, proposed_price, proposed_date, notes } = event;
        Self { job_id: Some(job_id), proposed_price, proposed_date, notes }
    }
}

/// An answer to the other party's offer.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RespondRequest {
    #[schema(value_type = JobId)]
    pub job_id: Option<JobId>,
    /// The offer that is meant: 409 if it is no longer the open one. The open one by default.
    pub offer_id: Option<OfferId>,
    /// With `counter` the fields of the new offer apply.
    pub action: ResponseAction,
    /// In dollars; with `counter`.
    pub counter_proposed_price: Option<Cents>,
    /// ISO-8601; with `counter`.
    pub counter_proposed_date: Option<String>,
    /// At most 1,000 characters; with `counter`.
    pub counter_notes: Option<String>,
}

impl RespondRequest {
    /// Checks the request.
    ///
    /// # Errors
    /// 400 with each bad field named.
    pub(super) fn check(self, now: DateTime<Utc>) -> Result<Response> {
        let offer = self.offer_id;
        let command = match self.action {
            ResponseAction::Accept => Command::AcceptOffer { offer },
            ResponseAction::Decline => Command::DeclineOffer { offer },
            ResponseAction::Counter => {
                let (price, date) = (self.counter_proposed_price, self.counter_proposed_date.as_deref());
                let proposal = Proposal::read(COUNTERED, price, date, self.counter_notes, None, now)?;
                Command::CounterOffer { offer, proposal }
            }
        };
        let job = self.job_id.ok_or_else(|| invalid("job_id", "must be a job's id"))?;
        Ok(Response { job, action: self.action, command })
    }
}

/// `respond_to_negotiation`: as REST, with `jobId`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RespondSocketRequest {
    #[serde(rename = "jobId")]
    pub job_id: JobId,
    /// The offer that is meant: refused if it is no longer the open one. The open one by default.
    #[serde(rename = "offerId")]
    pub offer_id: Option<OfferId>,
    /// With `counter` the fields of the new offer apply.
    pub action: ResponseAction,
    /// In dollars; with `counter`.
    pub counter_proposed_price: Option<Cents>,
    /// ISO-8601; with `counter`.
    pub counter_proposed_date: Option<String>,
    /// At most 1,000 characters; with `counter`.
    pub counter_notes: Option<String>,
}

impl From<RespondSocketRequest> for RespondRequest {
    fn from(event: RespondSocketRequest) -> Self {
        Self {
            job_id: Some(event.job_id),
            offer_id: event.offer_id,
            action: event.action,
            counter_proposed_price: event.counter_proposed_price,
            counter_proposed_date: event.counter_proposed_date,
            counter_notes: event.counter_notes,
        }
    }
}

/// An offer, as both parties see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OfferView {
    pub id: OfferId,
    pub job_id: JobId,
    /// The party that made it.
    pub offered_by: Party,
    /// In dollars; null if the price does not change.
    pub proposed_price: Option<Cents>,
    /// Null if the date does not change.
    pub proposed_date: Option<Timestamp>,
    pub notes: Option<String>,
    /// Changed answers to the service's questions.
    pub answers: Option<serde_json::Value>,
    #[serde(serialize_with = "OfferStatusView::serialize_status")]
    #[schema(value_type = OfferStatusView)]
    pub status: OfferStatus,
    pub created_at: Timestamp,
    /// When it was answered or withdrawn.
    pub answered_at: Option<Timestamp>,
}

/// The status of an offer, in clients' words.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OfferStatusView {
    /// Waits for the other party.
    Pending,
    /// The other party took it.
    Accepted,
    /// The other party did not take it.
    Declined,
    /// The other party answered with an offer of its own.
    Countered,
    /// Overtaken: by a new offer of the same party, or by what happened to the job.
    Withdrawn,
}

impl OfferStatusView {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn serialize_status<S: Serializer>(status: &OfferStatus, serializer: S) -> Result<S::Ok, S::Error> {
        let view = match status {
            OfferStatus::Open => Self::Pending,
            OfferStatus::Accepted => Self::Accepted,
            OfferStatus::Declined => Self::Declined,
            OfferStatus::Countered => Self::Countered,
            OfferStatus::Withdrawn => Self::Withdrawn,
        };
        view.serialize(serializer)
    }
}

/// A new offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OfferSentView {
    pub success: bool,
    pub message: &'static str,
    pub offer: OfferView,
}

/// An answered offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RespondedView {
    pub success: bool,
    pub message: &'static str,
    pub action: ResponseAction,
    /// With `counter`: the new offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferView>,
}

/// `negotiation_offer_sent`: somebody in the chat has made an offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NegotiationOfferSent {
    pub chat_id: ChatId,
    pub job_id: JobId,
    pub offer: OfferView,
}

/// `negotiation_response`: somebody in the chat has answered an offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NegotiationResponse {
    pub chat_id: ChatId,
    pub job_id: JobId,
    pub action: ResponseAction,
    pub responded_by: Party,
    /// With `counter`: the new offer.
    pub offer: Option<OfferView>,
}
impl ClientEvent for SendOfferSocketRequest {
    const NAME: &'static str = "send_negotiation_offer";
    type Ack = OfferSentView;
}

impl ClientEvent for RespondSocketRequest {
    const NAME: &'static str = "respond_to_negotiation";
    type Ack = RespondedView;
}

impl ServerEvent for NegotiationOfferSent {
    const NAME: &'static str = "negotiation_offer_sent";
}

impl ServerEvent for NegotiationResponse {
    const NAME: &'static str = "negotiation_response";
}
