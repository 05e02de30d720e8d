//! SQL of bookings, as database functions: one call for each request (migration 24).

use std::collections::BTreeSet;

use uuid::Uuid;

use super::types::{Attempt, Availability, Blocks, Booked, Booking, Candidate, UnpaidJob};
use crate::chat::job_chats::Opening;
use crate::jobs::booking::{NEW_REQUEST, REQUESTED};
use crate::types::{ChatId, CustomerId, JobId, NotificationId, ProviderId, Role, ServiceId, UserId};
use doors::{Pooler, Tx};

/// Inserts a booking if nothing prevents it: job, audit row, chat, members, messages and the provider's notification. In
/// either case returns the facts that the rules decide by, or `None` if this user is not a customer.
///
/// The customer's row is locked until the transaction ends, so two bookings of one customer are decided one after the other.
pub(super) async fn book(tx: &mut Tx<Pooler>, user: UserId, booking: &Booking) -> sqlx::Result<Option<Attempt>> {
    let (opening, chat) = (booking.opening(), ChatId(Uuid::now_v7()));
    // A picture may be listed twice.
    let files = Vec::from_iter(booking.files.iter().map(|id| id.0).collect::<BTreeSet<Uuid>>());
    let row = sqlx::query!(
        r#"select is_banned as "is_banned!", service_name, is_active, offers_service, serves_zip_code,
                  unpaid_job_id as "unpaid_job_id: JobId", unpaid_business_name, has_open_job_with_provider, has_accepted_job,
                  attached_files as "attached_files!", job_id as "job_id: JobId", created_at, response_deadline,
                  chat_created_at, provider_user_id as "provider_user_id: UserId", notice, notification_id as "notification: NotificationId", notified_at,
                  provider_role as "provider_role: Role", unread
           from stm.book_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                            $21, $22)"#,
        user.0,
        booking.service_id.0,
        booking.provider_id.0,
        booking.zipcode,
        booking.location,
        booking.answers,
        &booking.images,
        &files,
        booking.requires_in_person_visit,
        booking.in_person_visit_cost.map(|cost| cost.0),
        booking.project_size_sqft,
        booking.scheduled_at,
        booking.customer_budget.map(|budget| budget.0),
        chat.0,
        &opening.message_ids(),
        opening.request,
        opening.details,
        &opening.images,
        opening.date,
        Opening::max_chars(),
        NEW_REQUEST,
        REQUESTED,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| {
        let candidate = row.service_name.map(|service_name| Candidate {
            service_name,
            availability: Availability {
                is_active: row.is_active.unwrap_or_default(),
                offers_service: row.offers_service.unwrap_or_default(),
                serves_zip_code: row.serves_zip_code.unwrap_or_default(),
            },
            blocks: Blocks {
                unpaid_job: row
                    .unpaid_job_id
                    .zip(row.unpaid_business_name)
                    .map(|(id, business_name)| UnpaidJob { id, business_name }),
                has_open_job_with_provider: row.has_open_job_with_provider.unwrap_or_default(),
                has_accepted_job: row.has_accepted_job.unwrap_or_default(),
            },
        });
        let booked = || {
            Some(Booked {
                job: row.job_id?,
                created_at: row.created_at?,
                response_deadline: row.response_deadline?,
                chat,
                chat_created_at: row.chat_created_at?,
                provider: row.provider_user_id?,
                provider_role: row.provider_role?,
                notification: row.notification?,
                notified_at: row.notified_at?,
                notice: row.notice?,
                unread: row.unread?,
            })
        };
        let has_all_files = usize::try_from(row.attached_files) == Ok(files.len());
        Attempt { is_banned: row.is_banned, booked: booked(), candidate, has_all_files }
    }))
}

/// A provider who is to take over a job.
#[derive(Debug)]
pub(crate) struct SuccessorRow {
    pub service_name: String,
    pub user_id: UserId,
    /// The provider's first message in every new chat.
    pub first_message_template: Option<String>,
    pub availability: Availability,
}

/// Reads an approved service and a provider, with all that decides whether the service can be booked with the provider.
/// The provider's row is share-locked until the transaction ends.
pub(crate) async fn lock_successor(
    tx: &mut Tx<Pooler>,
    customer: CustomerId,
    service: ServiceId,
    provider: ProviderId,
    zip_code: &str,
) -> sqlx::Result<Option<SuccessorRow>> {
    let row = sqlx::query!(
        r#"select service_name as "service_name!", user_id as "user_id!: UserId", first_message_template,
                  is_active as "is_active!", offers_service as "offers_service!", serves_zip_code as "serves_zip_code!"
           from stm.lock_candidate_v1($1, $2, $3, $4)"#,
        customer.0,
        service.0,
        provider.0,
        zip_code,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| SuccessorRow {
        service_name: row.service_name,
        user_id: row.user_id,
        first_message_template: row.first_message_template,
        availability: Availability {
            is_active: row.is_active,
            offers_service: row.offers_service,
            serves_zip_code: row.serves_zip_code,
        },
    }))
}
