//! Makes and answers offers, through either door.

use chrono::{DateTime, Utc};

use super::types::{
    NegotiationOfferSent, NegotiationResponse, NewOffer, OfferSentView, OfferView, RespondedView, Response,
    ResponseAction, no_chat,
};
use crate::error::Result;
use crate::jobs::transition::{Job, Transition};
use crate::jobs::types::Command;
use crate::outbox::Outbox;
use crate::types::{ChatId, UserId};
use doors::{Door, Tx};

/// Makes an offer.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 the job is not new any more, or its chat is closed.
pub(super) async fn send<D: Door>(
    tx: &mut Tx<D>,
    user: UserId,
    offer: NewOffer,
    now: DateTime<Utc>,
) -> Result<(OfferSentView, Outbox)> {
    let job = Job::load_for_update(tx, offer.job, user).await?;
    let transition = job.apply(Command::SendOffer { proposal: offer.proposal }, now)?;
    let stored = job.store(tx, &transition).await?;
    let offer = stored.offer.ok_or_else(no_chat)?;
    Ok((OfferSentView { success: true, message: "Offer sent successfully", offer }, stored.outbox))
}

/// Answers the other party's offer.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 there is no offer of the other party to answer.
pub(super) async fn respond<D: Door>(
    tx: &mut Tx<D>,
    user: UserId,
    response: Response,
    now: DateTime<Utc>,
) -> Result<(RespondedView, Outbox)> {
    let job = Job::load_for_update(tx, response.job, user).await?;
    let transition = job.apply(response.command, now)?;
    let stored = job.store(tx, &transition).await?;
    let action = response.action;
    let message = match action {
        ResponseAction::Accept => "Offer accepted",
        ResponseAction::Decline => "Offer declined",
        ResponseAction::Counter => "Counter-offer sent",
    };
    Ok((RespondedView { success: true, message, action, offer: stored.offer }, stored.outbox))
}

/// Adds the event that everybody in the chat receives about an offer that was made or answered.
pub(crate) fn emit(
    outbox: &mut Outbox,
    chat_id: ChatId,
    job: &Job,
    transition: &Transition,
    offer: Option<&OfferView>,
) {
    let job_id = job.row.id;
    if let (Command::SendOffer { .. }, Some(offer)) = (&transition.command, offer) {
        let sent = NegotiationOfferSent { chat_id, job_id, offer: offer.clone() };
        outbox.emit(chat_id, &sent);
    }
    if let (Some(action), Some(responded_by)) = (ResponseAction::of(&transition.command), job.party()) {
        let response = NegotiationResponse { chat_id, job_id, action, responded_by, offer: offer.cloned() };
        outbox.emit(chat_id, &response);
    }
}
