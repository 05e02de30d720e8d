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
        r#"select id as "id!: JobId", service as "service!", category as "category!", status as "status!: JobStatus",
                  price_cents as "price_cents!", original_answers as "original_answers!",
                  project_size_sqft, requires_in_person_visit as "requires_in_person_visit!",
                  edited_answers, sp_accepted as "sp_accepted!", location, zipcode as "zipcode!",
                  images as "images!", scheduled_at, response_deadline as "response_deadline!",
                  deadline_missed as "deadline_missed!", completed_at, created_at as "created_at!",
                  paid_at, customer_name as "customer_name!", customer_phone,
                  customer_address as "customer_address!",
                  provider_id as "provider_id!: ProviderId", business_name as "business_name!",
                  owner_name as "owner_name!", provider_phone, rating as "rating!",
                  provider_location, chat_id as "chat_id: ChatId", amount_cents, payment_status,
                  method, marked_at, payment_notes, offer_id as "offer_id: OfferId",
                  offered_by as "offered_by: Party", offered_price_cents, offered_date, offer_notes,
                  offer_answers, offered_at, is_reviewed as "is_reviewed!"
           from stm.job_details_v1($1, $2)"#,
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
