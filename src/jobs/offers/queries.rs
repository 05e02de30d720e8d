//! SQL of offers.

use chrono::{DateTime, Utc};

use super::http::{CurrentOfferView, HistoryView, NegotiationStatus};
use super::types::{OfferView, Proposal};
use crate::types::{Cents, ChatId, JobId, OfferId, OfferStatus, Party, Timestamp, UserId};
use doors::{Door, Pooler, Tx};

/// Inserts an open offer. There must be no other: the job's rules have answered it.
pub(crate) async fn insert<D: Door>(
    tx: &mut Tx<D>,
    job: JobId,
    chat: ChatId,
    by: Party,
    proposal: &Proposal,
    now: DateTime<Utc>,
) -> sqlx::Result<OfferView> {
    let id = sqlx::query_scalar!(
        r#"insert into stm.offers (job_id, chat_id, offered_by, price_cents, scheduled_at, notes, answers, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           returning id as "id: OfferId""#,
        job.0,
        chat.0,
        by.as_str(),
        proposal.terms.price.map(|price| price.0),
        proposal.terms.scheduled_at,
        proposal.notes,
        proposal.answers,
        now,
    )
    .fetch_one(tx)
    .await?;
    Ok(OfferView {
        id,
        job_id: job,
        offered_by: by,
        proposed_price: proposal.terms.price,
        proposed_date: proposal.terms.scheduled_at.map(Timestamp),
        notes: proposal.notes.clone(),
        answers: proposal.answers.clone(),
        status: OfferStatus::Open,
        created_at: Timestamp(now),
        answered_at: None,
    })
}

/// Answers, or withdraws, the open offer of a job.
pub(crate) async fn close<D: Door>(
    tx: &mut Tx<D>,
    job: JobId,
    status: OfferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.offers set status = $2, answered_at = $3 where job_id = $1 and status = 'open'",
        job.0,
        status.as_str(),
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// The offers that were made in a job's present chat, oldest first; the newest `limit` of them. Returns `None` if there
/// is no such job, or the user is not one of its parties.
pub(super) async fn find_history(
    pooler: &Pooler,
    job: JobId,
    user: UserId,
    limit: i64,
) -> sqlx::Result<Option<HistoryView>> {
    let rows = sqlx::query!(
        r#"select coalesce(j.customer_budget_cents, 0) as "original_price_cents!", j.preferred_at as original_date,
                  u.first_name || ' ' || u.last_name as "customer_name!", p.business_name,
                  o.id as "id?: OfferId", o.offered_by as "offered_by?: Party", o.price_cents as "price_cents?",
                  o.scheduled_at as "scheduled_at?", o.notes as "notes?", o.answers as "answers?",
                  o.status as "offer_status?: OfferStatus", o.created_at as "created_at?", o.answered_at as "answered_at?"
           from stm.jobs j
           join stm.customers c on c.id = j.customer_id
           join stm.users u on u.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           left join lateral (
               select x.*
               from stm.offers x
               where x.job_id = j.id
                 and x.chat_id = (select ch.id from stm.chats ch where ch.job_id = j.id order by ch.id desc limit 1)
               order by x.id desc
               limit $3
           ) o on true
           where j.id = $1 and (c.user_id = $2 or p.user_id = $2)
           order by o.id"#,
        job.0,
        user.0,
        limit,
    )
    .fetch_all(pooler)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let original_price = Cents(first.original_price_cents);
    let (customer_name, business_name) = (first.customer_name.clone(), first.business_name.clone());
    let original_date = first.original_date.map(Timestamp);
    // A job without offers is one row of nulls.
    let offers = rows.into_iter().filter_map(|row| {
        Some(OfferView {
            id: row.id?,
            job_id: job,
            offered_by: row.offered_by?,
            proposed_price: row.price_cents.map(Cents),
            proposed_date: row.scheduled_at.map(Timestamp),
            notes: row.notes,
            answers: row.answers,
            status: row.offer_status?,
            created_at: row.created_at?.into(),
            answered_at: row.answered_at.map(Timestamp),
        })
    });
    let offers: Vec<_> = offers.collect();
    let open = offers.iter().find(|offer| offer.status == OfferStatus::Open).cloned();
    let current_offer = open.map(|offer| {
        let offered_by_name = match offer.offered_by {
            Party::Customer => customer_name,
            Party::ServiceProvider => business_name,
        };
        CurrentOfferView { offer, offered_by_name, original_price, original_date }
    });
    let current_status = match current_offer {
        Some(_) => NegotiationStatus::AwaitingResponse,
        None => NegotiationStatus::NoActiveNegotiation,
    };
    Ok(Some(HistoryView { job_id: job, current_status, current_offer, original_price, original_date, offers }))
}
