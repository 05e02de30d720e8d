//! A job as its parties see it.

use chrono::{DateTime, Utc};

use super::types::{OpenOffer, State, Terms};
use crate::negotiation::OfferView;
use crate::types::{Cents, ChatId, JobId, JobStatus, OfferId, OfferStatus, Party, ProviderId, Timestamp, UserId};
use doors::Pooler;

/// A job, both its parties, and what became of it.
#[derive(Debug)]
pub struct DetailsRow {
    /// Id.
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// The service's category.
    pub category: String,
    /// State.
    pub status: JobStatus,
    /// In cents.
    pub price_cents: i64,
    /// Answers to the service's questions, as they were given with the booking.
    pub original_answers: serde_json::Value,
    /// As the offers that are open or accepted change them, one after the other.
    pub edited_answers: Option<serde_json::Value>,
    /// Agreed to the present terms?
    pub sp_accepted: bool,
    /// Where: in the customer's words.
    pub location: Option<String>,
    /// Where: five digits.
    pub zipcode: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// When.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// Until when the provider should answer.
    pub response_deadline: DateTime<Utc>,
    /// Was the deadline acted upon?
    pub deadline_missed: bool,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// The customer's first and last name.
    pub customer_name: String,
    /// E.164.
    pub customer_phone: Option<String>,
    /// Where the customer lives.
    pub customer_address: String,
    /// Who is booked.
    pub provider_id: ProviderId,
    /// The name of the business.
    pub business_name: String,
    /// Its owner's first and last name.
    pub owner_name: String,
    /// E.164.
    pub provider_phone: Option<String>,
    /// 0 without a review.
    pub rating: f64,
    /// Where the business is.
    pub provider_location: Option<String>,
    /// The chat with the present provider.
    pub chat_id: Option<ChatId>,
    /// What is owed or was paid.
    pub payment: Option<PaymentRow>,
    /// The offer that waits for an answer.
    pub offer: Option<OfferView>,
    /// Has the customer reviewed it?
    pub is_reviewed: bool,
}

/// What is owed for a job, or was paid.
#[derive(Debug)]
pub struct PaymentRow {
    /// In cents.
    pub amount_cents: i64,
    /// `pending` or `received`.
    pub status: String,
    /// How it was paid.
    pub method: Option<String>,
    /// When it was received.
    pub marked_at: Option<DateTime<Utc>>,
}

impl DetailsRow {
    /// The job as its rules see it.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            status: self.status,
            sp_accepted: self.sp_accepted,
            offer: self.offer.as_ref().map(|offer| OpenOffer {
                by: offer.offered_by,
                terms: Terms { price: offer.proposed_price, scheduled_at: offer.proposed_date.map(|date| date.0) },
            }),
            price: Cents(self.price_cents),
            scheduled_at: self.scheduled_at,
            response_deadline: self.response_deadline,
            deadline_missed: self.deadline_missed,
            completed_at: self.completed_at,
        }
    }
}

/// A job for one of its two parties. `None`: there is no such job, or it is not this user's.
///
/// # Errors
/// Those of the database.
pub async fn find(pooler: &Pooler, id: JobId, user: UserId) -> sqlx::Result<Option<DetailsRow>> {
    let row = sqlx::query!(
        r#"select j.id as "id: JobId", s.name as service, s.category, j.status as "status: JobStatus", j.price_cents,
                  j.answers as original_answers,
                  case when jsonb_typeof(j.answers) = 'object' and jsonb_typeof(e.answers) = 'object'
                       then j.answers || coalesce(m.answers, '{}') else e.answers end as edited_answers,
                  j.sp_accepted, j.location, j.zipcode, j.images, j.scheduled_at, j.response_deadline,
                  j.deadline_missed_at is not null as "deadline_missed!", j.completed_at, j.created_at,
                  cu.first_name || ' ' || cu.last_name as "customer_name!", cu.phone_number as customer_phone,
                  c.address as customer_address,
                  p.id as "provider_id: ProviderId", p.business_name, pu.first_name || ' ' || pu.last_name as "owner_name!",
                  pu.phone_number as provider_phone, p.rating::float8 as "rating!", p.location as provider_location,
                  chat.id as "chat_id?: ChatId",
                  y.amount_cents as "amount_cents?", y.status as "payment_status?", y.method as "method?", y.marked_at as "marked_at?",
                  o.id as "offer_id?: OfferId", o.offered_by as "offered_by?: Party", o.price_cents as "offered_price_cents?",
                  o.scheduled_at as "offered_date?", o.notes as "offer_notes?", o.answers as "offer_answers?",
                  o.created_at as "offered_at?",
                  exists (select from stm.reviews r where r.job_id = j.id) as "is_reviewed!"
           from stm.jobs j
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users cu on cu.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           join stm.users pu on pu.id = p.user_id
           left join lateral (
               select ch.id from stm.chats ch where ch.job_id = j.id order by ch.id desc limit 1
           ) chat on true
           left join lateral (
               select x.answers from stm.offers x
               where x.job_id = j.id and x.chat_id = chat.id and x.answers is not null and x.status in ('open', 'accepted')
               order by x.id desc limit 1
           ) e on true
           left join lateral (
               select jsonb_object_agg(a.key, a.value order by x.id) as answers
               from stm.offers x,
                    jsonb_each(case when jsonb_typeof(x.answers) = 'object' then x.answers else '{}' end) a
               where x.job_id = j.id and x.chat_id = chat.id and x.status in ('open', 'accepted')
           ) m on true
           left join stm.offers o on o.job_id = j.id and o.status = 'open'
           left join lateral (
               select x.amount_cents, x.status, x.method, x.marked_at from stm.payments x
               where x.job_id = j.id order by x.id desc limit 1
           ) y on true
           where j.id = $1 and (c.user_id = $2 or p.user_id = $2)"#,
        id.0,
        user.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| DetailsRow {
        id: row.id,
        service: row.service,
        category: row.category,
        status: row.status,
        price_cents: row.price_cents,
        original_answers: row.original_answers,
        edited_answers: row.edited_answers,
        sp_accepted: row.sp_accepted,
        location: row.location,
        zipcode: row.zipcode,
        images: row.images,
        scheduled_at: row.scheduled_at,
        response_deadline: row.response_deadline,
        deadline_missed: row.deadline_missed,
        completed_at: row.completed_at,
        created_at: row.created_at,
        customer_name: row.customer_name,
        customer_phone: row.customer_phone,
        customer_address: row.customer_address,
        provider_id: row.provider_id,
        business_name: row.business_name,
        owner_name: row.owner_name,
        provider_phone: row.provider_phone,
        rating: row.rating,
        provider_location: row.provider_location,
        chat_id: row.chat_id,
        payment: row.amount_cents.zip(row.payment_status).map(|(amount_cents, status)| PaymentRow {
            amount_cents,
            status,
            method: row.method,
            marked_at: row.marked_at,
        }),
        offer: row.offer_id.zip(row.offered_by).zip(row.offered_at).map(|((id, offered_by), at)| OfferView {
            id,
            job_id: row.id,
            offered_by,
            proposed_price: row.offered_price_cents.map(Cents),
            proposed_date: row.offered_date.map(Timestamp),
            notes: row.offer_notes,
            answers: row.offer_answers,
            status: OfferStatus::Open,
            created_at: Timestamp(at),
            answered_at: None,
        }),
        is_reviewed: row.is_reviewed,
    }))
}
