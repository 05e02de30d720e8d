//! `send_negotiation_offer` and `respond_to_negotiation`: the same as REST, over the direct connection.

use chrono::Utc;
use futures_util::FutureExt as _;
use serde::Serialize;
use socketioxide::extract::SocketRef;

use super::commands::{Respond, Send};
use super::{OfferSentView, RespondSocketRequest, RespondedView, SendOfferSocketRequest};
use crate::auth::UserId;
use crate::chat::socket::{in_turn, on};
use crate::error::Result;
use crate::notifications::News;
use crate::realtime::SocketState;
use crate::realtime::reply::{Refusal, Reply};

const SEND: &str = "send_negotiation_offer";
const RESPOND: &str = "respond_to_negotiation";

/// Makes a socket listen to the negotiation's events.
pub fn listen(socket: &SocketRef) {
    on(socket, SEND, |reply, event, state| {
        in_turn(SEND, reply, |reply| {
            async move {
                let sent = send_offer(event, reply.session().user_id, &state).await;
                answer(SEND, reply, sent, &state);
            }
            .boxed()
        })
    });
    on(socket, RESPOND, |reply, event, state| {
        in_turn(RESPOND, reply, |reply| {
            async move {
                let responded = respond(event, reply.session().user_id, &state).await;
                answer(RESPOND, reply, responded, &state);
            }
            .boxed()
        })
    });
}

async fn send_offer(event: SendOfferSocketRequest, by: UserId, state: &SocketState) -> Result<(OfferSentView, News)> {
    let now = Utc::now();
    let offer = Send::read_event(event, now)?;
    let sent = state.readings.run(async |direct| {
        let mut tx = direct.write().await?;
        match offer.carry_out(&mut tx, by, now).await {
            Ok(sent) => tx.commit().await.map(|()| Ok(sent)),
            Err(error) => Ok(Err(error)),
        }
    });
    sent.await?
}

async fn respond(event: RespondSocketRequest, by: UserId, state: &SocketState) -> Result<(RespondedView, News)> {
    let now = Utc::now();
    let answer = Respond::read_event(event, now)?;
    let responded = state.readings.run(async |direct| {
        let mut tx = direct.write().await?;
        match answer.carry_out(&mut tx, by, now).await {
            Ok(responded) => tx.commit().await.map(|()| Ok(responded)),
            Err(error) => Ok(Err(error)),
        }
    });
    responded.await?
}

fn answer(event: &str, reply: Reply, outcome: Result<(impl Serialize, News)>, state: &SocketState) {
    match outcome {
        Ok((view, news)) => {
            reply.ok(&view);
            state.notifier.spread(news);
        }
        Err(error) => reply.refuse(event, &Refusal::from(error)),
    }
}
