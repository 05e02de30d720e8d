//! Making and answering offers, through whichever door.

use chrono::{DateTime, Utc};

use super::types::{Names, RespondRequest, ResponseAction, SendOfferRequest};
use super::{
    NegotiationOfferSent, NegotiationResponse, OfferSentView, Proposal, RespondSocketRequest, RespondedView,
    SendOfferSocketRequest,
};
use crate::db::{Door, Tx};
use crate::error::{Error, Result, invalid};
use crate::jobs::{Action, Command, Done, carry_out};
use crate::outbox::Outbox as News;
use crate::types::{JobId, OfferId, Party, UserId};

/// An offer to be made, without faults.
#[derive(Debug)]
pub struct Send {
    job: JobId,
    proposal: Proposal,
}

/// An answer to be given, without faults.
#[derive(Debug)]
pub struct Respond {
    job: JobId,
    offer: Option<OfferId>,
    action: ResponseAction,
    proposal: Option<Proposal>,
}

const SENT: Names = Names { price: "proposed_price", date: "proposed_date", notes: "notes", answers: "answers" };
const COUNTERED: Names = Names {
    price: "counter_proposed_price",
    date: "counter_proposed_date",
    notes: "counter_notes",
    answers: "counter_answers",
};

impl Send {
    /// An offer that was read elsewhere.
    #[must_use]
    pub fn new(job: JobId, proposal: Proposal) -> Self {
        Self { job, proposal }
    }

    /// # Errors
    /// 400 with each field named.
    pub fn read(request: SendOfferRequest, now: DateTime<Utc>) -> Result<Self> {
        let proposal = Proposal::read(SENT, request.proposed_price, request.proposed_date, request.notes, None, now);
        let job = request.job_id.ok_or_else(|| invalid("job_id", "must be a job's id"))?;
        Ok(Self::new(job, proposal?))
    }

    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_event(event: SendOfferSocketRequest, now: DateTime<Utc>) -> Result<Self> {
        let SendOfferSocketRequest { job_id, proposed_price, proposed_date, notes } = event;
        Self::read(SendOfferRequest { job_id: Some(job_id), proposed_price, proposed_date, notes }, now)
    }

    /// Makes the offer, in the caller's transaction.
    ///
    /// # Errors
    /// 404 no such job, or somebody else's. 409 the job is not new any more, or its chat is closed.
    pub async fn carry_out<D: Door>(
        self,
        tx: &mut Tx<D>,
        by: UserId,
        now: DateTime<Utc>,
    ) -> Result<(OfferSentView, News)> {
        let command = Command { proposal: Some(self.proposal), ..Command::new(self.job, by, Action::SendOffer) };
        let mut done = carry_out(tx, command, now).await?;
        let offer = done.offer.take().ok_or_else(no_chat)?;
        if let Some(chat_id) = done.parties.chat_id {
            let sent = NegotiationOfferSent { chat_id, job_id: self.job, offer: offer.clone() };
            done.news.emit(chat_id, &sent);
        }
        Ok((OfferSentView { success: true, message: "Offer sent successfully", offer }, done.news))
    }
}

impl Respond {
    /// Takes the offer.
    #[must_use]
    pub fn accept(job: JobId, offer: Option<OfferId>) -> Self {
        Self { job, offer, action: ResponseAction::Accept, proposal: None }
    }

    /// # Errors
    /// 400 with each field named.
    pub fn read(request: RespondRequest, now: DateTime<Utc>) -> Result<Self> {
        let RespondRequest { job_id, offer_id, action, counter_proposed_price, counter_proposed_date, counter_notes } =
            request;
        let proposal = match action {
            ResponseAction::Counter => {
                let read =
                    Proposal::read(COUNTERED, counter_proposed_price, counter_proposed_date, counter_notes, None, now);
                Some(read?)
            }
            ResponseAction::Accept | ResponseAction::Decline => None,
        };
        let job = job_id.ok_or_else(|| invalid("job_id", "must be a job's id"))?;
        Ok(Self { job, offer: offer_id, action, proposal })
    }

    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_event(event: RespondSocketRequest, now: DateTime<Utc>) -> Result<Self> {
        let RespondSocketRequest {
            job_id,
            offer_id,
            action,
            counter_proposed_price,
            counter_proposed_date,
            counter_notes,
        } = event;
        let job_id = Some(job_id);
        Self::read(
            RespondRequest { job_id, offer_id, action, counter_proposed_price, counter_proposed_date, counter_notes },
            now,
        )
    }

    /// Gives the answer, in the caller's transaction.
    ///
    /// # Errors
    /// 404 no such job, or somebody else's. 409 there is no offer of the other party to answer.
    pub async fn carry_out<D: Door>(
        self,
        tx: &mut Tx<D>,
        by: UserId,
        now: DateTime<Utc>,
    ) -> Result<(RespondedView, News)> {
        let Self { job, offer, action, proposal } = self;
        let command = Command { proposal, ..Command::new(job, by, action.action()).of_offer(offer) };
        let mut done = carry_out(tx, command, now).await?;
        let offer = done.offer.take();
        tell(&mut done, job, by, action, offer.clone());
        let message = match action {
            ResponseAction::Accept => "Offer accepted",
            ResponseAction::Decline => "Offer declined",
            ResponseAction::Counter => "Counter-offer sent",
        };
        Ok((RespondedView { success: true, message, action, offer }, done.news))
    }
}

fn tell(done: &mut Done, job_id: JobId, by: UserId, action: ResponseAction, offer: Option<super::OfferView>) {
    let Some(chat_id) = done.parties.chat_id else { return };
    let is_customer = by == done.parties.customer_user_id;
    let responded_by = if is_customer { Party::Customer } else { Party::ServiceProvider };
    let response = NegotiationResponse { chat_id, job_id, action, responded_by, offer };
    done.news.emit(chat_id, &response);
}

fn no_chat() -> Error {
    Error::Conflict("no_chat", "this job has no chat to negotiate in".into())
}
