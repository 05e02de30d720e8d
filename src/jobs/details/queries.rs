//! A job as its parties see it.

use super::http::{BookedProviderView, BookingCustomerView, JobDetailsView, PaymentView};
use super::types;
use crate::files::{Audience, FileUrls};
use crate::jobs::offers::OfferView;
use crate::jobs::types::{JobState, OpenOffer, Terms};
use crate::types::{Cents, ChatId, JobId, JobStatus, OfferId, OfferStatus, Party, ProviderId, Timestamp, UserId};
use doors::Pooler;

/// A job, its parties, payment and chat.
pub(super) struct Details {
    /// The job itself.
    pub job: JobDetailsView,
    /// The customer who booked.
    pub customer: BookingCustomerView,
    /// The booked provider.
    pub provider: BookedProviderView,
    /// What is owed or was paid.
    pub payment: Option<PaymentView>,
    /// The chat with the present provider.
    pub chat_id: Option<ChatId>,
    /// The job as its rules see it.
    pub state: JobState,
    /// Whether the customer has reviewed it.
    pub is_reviewed: bool,
}

/// Reads a job for one of its two parties. Returns `None` if there is no such job, or it is not this user's.
#[expect(clippy::too_many_lines, reason = "a statement, and a line for each of its columns")]
pub(super) async fn find(pooler: &Pooler, urls: &FileUrls, id: JobId, user: UserId) -> sqlx::Result<Option<Details>> {
    let row = sqlx::query!(
        r#"select j.id as "id: JobId", s.name as service, s.category, j.status as "status: JobStatus", j.price_cents,
                  j.answers as original_answers, j.project_size_sqft, j.requires_in_person_visit,
                  case when jsonb_typeof(j.answers) = 'object' and jsonb_typeof(e.answers) = 'object'
                       then j.answers || coalesce(m.answers, '{}') else e.answers end as edited_answers,
                  j.sp_accepted, j.location, j.zipcode, j.images, j.scheduled_at, j.response_deadline,
                  j.deadline_missed_at is not null as "deadline_missed!", j.completed_at, j.created_at,
                  case when j.status = 'paid'
                       then (select x.marked_at from stm.payments x where x.job_id = j.id and x.kind = 'job') end as paid_at,
                  cu.first_name || ' ' || cu.last_name as "customer_name!", cu.phone_number as customer_phone,
                  c.address as customer_address,
                  p.id as "provider_id: ProviderId", p.business_name, pu.first_name || ' ' || pu.last_name as "owner_name!",
                  pu.phone_number as provider_phone, p.rating::float8 as "rating!", p.location as provider_location,
                  chat.id as "chat_id?: ChatId",
                  y.amount_cents as "amount_cents?", y.status as "payment_status?", y.method as "method?", y.marked_at as "marked_at?",
                  y.notes as "payment_notes?",
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
               where x.job_id = j.id and x.chat_id = chat.id and x.answers is not null and x.status = 'accepted'
               order by x.id desc limit 1
           ) e on true
           left join lateral (
               select jsonb_object_agg(a.key, a.value order by x.id) as answers
               from stm.offers x,
                    jsonb_each(case when jsonb_typeof(x.answers) = 'object' then x.answers else '{}' end) a
               where x.job_id = j.id and x.chat_id = chat.id and x.status = 'accepted'
           ) m on true
           left join stm.offers o on o.job_id = j.id and o.status = 'open'
           left join lateral (
               select x.amount_cents, x.status, x.method, x.marked_at, x.notes from stm.payments x
               where x.job_id = j.id order by x.id desc limit 1
           ) y on true
           where j.id = $1 and (c.user_id = $2 or p.user_id = $2)"#,
        id.0,
        user.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| {
        let offer = row.offer_id.zip(row.offered_by).zip(row.offered_at).map(|((id, offered_by), at)| OfferView {
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
        });
        let state = JobState {
            status: row.status,
            sp_accepted: row.sp_accepted,
            offer: row.offered_by.map(|by| OpenOffer {
                by,
                terms: Terms { price: row.offered_price_cents.map(Cents), scheduled_at: row.offered_date },
            }),
            price: Cents(row.price_cents),
            scheduled_at: row.scheduled_at,
            response_deadline: row.response_deadline,
            deadline_missed: row.deadline_missed,
            completed_at: row.completed_at,
        };
        let edited_answers =
            offer.as_ref().map(types::proposed).or_else(|| row.edited_answers.as_ref().map(types::lines));
        let job = JobDetailsView {
            id: row.id,
            service: row.service,
            category: row.category,
            status: row.status,
            price: Cents(row.price_cents),
            original_answers: types::original_answers(
                &row.original_answers,
                row.project_size_sqft,
                row.requires_in_person_visit,
            ),
            edited_answers,
            sp_accepted: row.sp_accepted,
            pending_approval: offer.is_some(),
            offer,
            location: row.location.unwrap_or(row.zipcode),
            images: urls.of_references(row.images, Audience::Job(row.id)),
            scheduled_at: row.scheduled_at.map(Timestamp),
            response_deadline: Timestamp(row.response_deadline),
            completed_at: row.completed_at.map(Timestamp),
            paid_at: row.paid_at.map(Timestamp),
            created_at: Timestamp(row.created_at),
        };
        Details {
            job,
            customer: BookingCustomerView {
                name: row.customer_name,
                phone: row.customer_phone,
                address: row.customer_address,
            },
            provider: BookedProviderView {
                id: row.provider_id,
                business_name: row.business_name,
                owner_name: row.owner_name,
                phone: row.provider_phone,
                rating: row.rating,
                location: row.provider_location,
            },
            payment: row.amount_cents.zip(row.payment_status).map(|(amount_cents, status)| PaymentView {
                amount: Cents(amount_cents),
                status,
                method: row.method,
                marked_at: row.marked_at.map(Timestamp),
                notes: row.payment_notes,
            }),
            chat_id: row.chat_id,
            state,
            is_reviewed: row.is_reviewed,
        }
    }))
}
