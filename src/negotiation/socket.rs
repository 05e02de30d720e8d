//! `send_negotiation_offer` and `respond_to_negotiation`: the same as REST, over the direct connection.

use chrono::Utc;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::commands::{Respond, Send};
use super::{OfferSentView, RespondSocketRequest, RespondedView, SendOfferSocketRequest};
use crate::error::{Error, Result, invalid};
use crate::outbox::Outbox as News;
use crate::realtime::{ClientEvent as _, Refusal, Reply};
use crate::state::SocketState;
use crate::types::UserId;

/// Makes an offer, and answers the event.
pub async fn on_send_offer(reply: Reply, event: Value, state: SocketState) {
    let sent = send_offer(event, reply.session().user_id, &state).await;
    answer(SendOfferSocketRequest::NAME, reply, sent, &state);
}

/// Answers an offer, and the event.
pub async fn on_respond(reply: Reply, event: Value, state: SocketState) {
    let responded = respond(event, reply.session().user_id, &state).await;
    answer(RespondSocketRequest::NAME, reply, responded, &state);
}

async fn send_offer(event: Value, by: UserId, state: &SocketState) -> Result<(OfferSentView, News)> {
    let now = Utc::now();
    let offer = Send::read_event(read::<SendOfferSocketRequest>(&event)?, now)?;
    let sent = state.bulkhead.run(async |direct| {
        let mut tx = direct.write().await?;
        match offer.carry_out(&mut tx, by, now).await {
            Ok(sent) => tx.commit().await.map(|()| Ok(sent)),
            Err(error) => Ok(Err(error)),
        }
    });
    sent.await?
}

async fn respond(event: Value, by: UserId, state: &SocketState) -> Result<(RespondedView, News)> {
    let now = Utc::now();
    let answer = Respond::read_event(read::<RespondSocketRequest>(&event)?, now)?;
    let responded = state.bulkhead.run(async |direct| {
        let mut tx = direct.write().await?;
        match answer.carry_out(&mut tx, by, now).await {
            Ok(responded) => tx.commit().await.map(|()| Ok(responded)),
            Err(error) => Ok(Err(error)),
        }
    });
    responded.await?
}

/// Reads a payload, so that a field of the wrong type is named: what socketioxide reads by itself says only what it
/// expected.
///
/// # Errors
/// 400 with the field named.
fn read<T: DeserializeOwned>(event: &Value) -> Result<T> {
    // serde would also take a list for an object, by position.
    if !event.is_object() {
        return Err(Error::Malformed("the payload must be an object".into()));
    }
    serde_path_to_error::deserialize(event).map_err(|error| match error.path().to_string() {
        whole if whole == "." => Error::Malformed(format!("the payload is not valid: {}", error.inner())),
        field => invalid(field, &format!("is not valid: {}", error.inner())),
    })
}

/// As REST says it: whoever is not a party is told that there is no such job, not of a chat that the event does not name.
fn refusal(error: Error) -> Refusal {
    match error {
        Error::NotFound(_) => {
            let (code, message) = error.code_and_message();
            Refusal::Conflict(code, message)
        }
        other => other.into(),
    }
}

fn answer(event: &str, reply: Reply, outcome: Result<(impl Serialize, News)>, state: &SocketState) {
    match outcome {
        Ok((view, news)) => {
            reply.ok(&view);
            state.notifier.spread(news);
        }
        Err(error) => reply.refuse(event, &refusal(error)),
    }
}
