//! SQL of the list of disputes.

use super::http::AdminDisputeView;
use crate::admin::list::NameView;
use crate::disputes::{DisputeProgress, DisputeStatus};
use crate::types::{Cents, ChatId, DisputeId, JobId, JobStatus, Timestamp};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A selection of the disputes.
#[derive(Debug, Clone, Copy)]
pub(super) struct DisputeFilter {
    pub id: Option<DisputeId>,
    pub status: Option<DisputeProgress>,
    pub page: PageRequest,
}

/// A page of the disputes, newest first, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: DisputeFilter) -> sqlx::Result<(Vec<AdminDisputeView>, i64)> {
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select d.id
               from stm.disputes d
               where ($1::bigint is null or d.id = $1)
                 and ($2::text is null or d.status = case when $2 = 'resolved' then 'resolved' else 'open' end)
                 and (coalesce($2, '') <> 'under_review'
                      or exists (select from stm.chats h join stm.chat_members m on m.chat_id = h.id
                                 where h.job_id = d.job_id and m.side = 'local_service_manager' and m.left_at is null))
           ), page as (
               select f.id from found f order by f.id desc limit $3 offset $4
           )
           select (select count(*) from found) as "total!", d.id as "id: DisputeId", d.status as "status: DisputeStatus", d.description,
                  d.resolution_notes, d.created_at, d.resolved_at, j.id as "job_id: JobId", s.name as service,
                  j.status as "job_status: JobStatus", j.price_cents, c.id as customer_id,
                  cu.first_name || ' ' || cu.last_name as "customer_name!", p.id as provider_id, p.business_name,
                  l.id as lsm_id, lu.first_name || ' ' || lu.last_name as "lsm_name!", chat.id as "chat_id?: ChatId",
                  coalesce(chat.has_joined, false) as "has_joined!"
           from page f
           join stm.disputes d on d.id = f.id
           join stm.jobs j on j.id = d.job_id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users cu on cu.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id
           join stm.users lu on lu.id = l.user_id
           left join lateral (
               select h.id, exists (select from stm.chat_members m where m.chat_id = h.id
                                    and m.side = 'local_service_manager' and m.left_at is null) as has_joined
               from stm.chats h where h.job_id = j.id order by h.id desc limit 1
           ) chat on true
           order by d.id desc"#,
        filter.id.map(|id| id.0),
        filter.status.map(DisputeProgress::as_str),
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        None => Box::pin(list(pooler, DisputeFilter { page: PageRequest::ONE_ROW, ..filter })).await?.1,
    };
    let disputes = rows.into_iter().map(|row| AdminDisputeView {
        id: row.id,
        status: DisputeProgress::new(row.status, row.has_joined),
        description: row.description,
        resolution_notes: row.resolution_notes,
        job_id: row.job_id,
        service: row.service,
        job_status: row.job_status,
        price: Cents(row.price_cents),
        customer: NameView { id: row.customer_id, name: row.customer_name },
        provider: NameView { id: row.provider_id, name: row.business_name },
        lsm: NameView { id: row.lsm_id, name: row.lsm_name },
        chat_id: row.chat_id,
        created_at: Timestamp(row.created_at),
        resolved_at: row.resolved_at.map(Timestamp),
    });
    Ok((disputes.collect(), total))
}
