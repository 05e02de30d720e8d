//! `send_negotiation_offer` and `respond_to_negotiation`: the same as REST, over the direct connection.

use chrono::Utc;
use serde::Serialize;
use serde_json::Value;

use super::commands;
use super::types::{
    OfferSentView, RespondRequest, RespondSocketRequest, RespondedView, SendOfferRequest, SendOfferSocketRequest,
};
use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::realtime::{ClientEvent as _, Refusal, Reply};
use crate::state::SocketState;
use crate::types::UserId;
use crate::web::extract::read_object;

/// Makes an offer, and answers the event.
pub(crate) async fn on_send_offer(reply: Reply, event: Value, state: SocketState) {
    let sent = send_offer(event, reply.session().user_id, &state).await;
    answer(SendOfferSocketRequest::NAME, reply, sent, &state);
}

/// Answers an offer, and the event.
pub(crate) async fn on_respond(reply: Reply, event: Value, state: SocketState) {
    let responded = respond(event, reply.session().user_id, &state).await;
    answer(RespondSocketRequest::NAME, reply, responded, &state);
}

async fn send_offer(event: Value, by: UserId, state: &SocketState) -> Result<(OfferSentView, Outbox)> {
    let now = Utc::now();
    let offer = SendOfferRequest::from(read_object::<SendOfferSocketRequest>("the payload", event)?).check(now)?;
    let sent = state.bulkhead.run(async |direct| {
        let mut tx = direct.write().await?;
        match commands::send(&mut tx, by, offer, now).await {
            Ok(sent) => tx.commit().await.map(|()| Ok(sent)),
            Err(error) => Ok(Err(error)),
        }
    });
    sent.await?
}

async fn respond(event: Value, by: UserId, state: &SocketState) -> Result<(RespondedView, Outbox)> {
    let now = Utc::now();
    let response = RespondRequest::from(read_object::<RespondSocketRequest>("the payload", event)?).check(now)?;
    let responded = state.bulkhead.run(async |direct| {
        let mut tx = direct.write().await?;
        match commands::respond(&mut tx, by, response, now).await {
            Ok(responded) => tx.commit().await.map(|()| Ok(responded)),
            Err(error) => Ok(Err(error)),
        }
    });
    responded.await?
}

/// The refusal of REST: for somebody who is not a party there is no such job, and no chat is mentioned.
fn refusal(error: Error) -> Refusal {
    match error {
        Error::NotFound(_) => {
            let (code, message) = error.code_and_message();
            Refusal::Conflict(code, message)
        }
        other => other.into(),
    }
}

fn answer(event: &str, reply: Reply, result: Result<(impl Serialize, Outbox)>, state: &SocketState) {
    match result {
        Ok((view, outbox)) => {
            reply.ok(&view);
            state.notifier.publish(outbox);
        }
        Err(error) => reply.refuse(event, &refusal(error)),
    }
}
