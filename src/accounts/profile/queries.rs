//! SQL of a user's own account.

use super::http::{AccountProfileView, MeView};
use crate::types::{Role, Timestamp, UserId};
use doors::{Pooler, Tx};

/// The profile of a user who is not banned, with the row of the role.
pub(super) async fn find(pooler: &Pooler, user: UserId) -> sqlx::Result<Option<AccountProfileView>> {
    let row = sqlx::query!(
        r#"select u.id as "id: UserId", u.email, u.first_name, u.last_name, u.phone_number, u.role as "role: Role",
                  u.profile_picture, u.created_at, u.updated_at, u.email_verified_at is not null as "is_email_verified!",
                  (select max(login.opened_at)
                   from (select min(t.created_at) as opened_at from stm.refresh_tokens t
                         where t.user_id = u.id group by t.family_id) login) as last_login,
                  coalesce(
                      (select to_jsonb(c) || jsonb_build_object('area', coalesce(c.city, ''), 'zipCode', c.zipcode,
                                                                'zip_code', c.zipcode)
                       from stm.customers c where c.user_id = u.id),
                      (select to_jsonb(p) - 'warnings'
                              || jsonb_build_object('area', coalesce(p.area, ''), 'zipCode', z.zip_code,
                                                    'zip_code', z.zip_code)
                       from stm.providers p
                       left join stm.provider_zip_codes z on z.provider_id = p.id and z.position = 1
                       where p.user_id = u.id),
                      (select to_jsonb(l) || jsonb_build_object('area', coalesce(l.area, ''), 'zipCode', null,
                                                                'zip_code', null)
                       from stm.local_service_managers l where l.user_id = u.id),
                      jsonb_build_object('region', '', 'area', '', 'zipCode', null, 'zip_code', null))
                      as "role_data!"
           from stm.users u
           where u.id = $1 and u.banned_at is null"#,
        user.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| AccountProfileView {
        id: row.id,
        email: row.email,
        first_name: row.first_name,
        last_name: row.last_name,
        phone_number: row.phone_number,
        role: row.role,
        profile_picture: row.profile_picture,
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
        last_login: row.last_login.map(Timestamp),
        is_email_verified: row.is_email_verified,
        role_data: row.role_data,
    }))
}

/// What a user changes: `None` leaves it as it is.
#[derive(Debug)]
pub(super) struct Change {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    /// E.164.
    pub phone_number: Option<String>,
    pub profile_picture: Option<String>,
}

/// Changes a user who is not banned.
pub(super) async fn change(tx: &mut Tx<Pooler>, user: UserId, change: &Change) -> sqlx::Result<Option<MeView>> {
    sqlx::query_as!(
        MeView,
        r#"update stm.users
           set first_name = coalesce($2, first_name), last_name = coalesce($3, last_name),
               phone_number = coalesce($4, phone_number), profile_picture = coalesce($5, profile_picture),
               updated_at = now()
           where id = $1 and banned_at is null
           returning id as "id: UserId", email, first_name, last_name, phone_number, role as "role: Role",
                     profile_picture, updated_at"#,
        user.0,
        change.first_name,
        change.last_name,
        change.phone_number,
        change.profile_picture,
    )
    .fetch_optional(tx)
    .await
}

/// Everything held about a user who is not banned, but no secrets. Of messages the newest 50,000.
pub(super) async fn export(pooler: &Pooler, user: UserId) -> sqlx::Result<Option<serde_json::Value>> {
    sqlx::query_scalar!(
        r#"select jsonb_build_object(
               'exportedAt', now(),
               'user', to_jsonb(u) - 'password_hash',
               'customer', (select to_jsonb(c) from stm.customers c where c.user_id = u.id),
               'provider', (select to_jsonb(p) from stm.providers p where p.user_id = u.id),
               'localServiceManager', (select to_jsonb(l) from stm.local_service_managers l where l.user_id = u.id),
               'zipCodes', (select coalesce(jsonb_agg(z.zip_code order by z.position), '[]')
                            from stm.provider_zip_codes z join stm.providers p on p.id = z.provider_id
                            where p.user_id = u.id),
               'services', (select coalesce(jsonb_agg(s.name order by s.name), '[]')
                            from stm.provider_services o join stm.providers p on p.id = o.provider_id
                            join stm.services s on s.id = o.service_id where p.user_id = u.id),
               'logins', (select coalesce(jsonb_agg(jsonb_build_object('openedAt', t.opened_at, 'expiresAt', t.expires_at,
                                                                       'revokedAt', t.revoked_at)), '[]')
                          from (select min(created_at) as opened_at, max(expires_at) as expires_at,
                                       max(revoked_at) as revoked_at
                                from stm.refresh_tokens where user_id = u.id group by family_id) t),
               'jobs', (select coalesce(jsonb_agg(to_jsonb(j) order by j.id), '[]') from stm.jobs j
                        where j.customer_id = (select id from stm.customers where user_id = u.id)
                           or j.provider_id = (select id from stm.providers where user_id = u.id)),
               'jobEvents', (select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from stm.job_events e
                             where e.actor_id = u.id),
               'providerEvents', (select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from stm.provider_events e
                                  where e.provider_id = (select id from stm.providers where user_id = u.id)),
               'offers', (select coalesce(jsonb_agg(to_jsonb(o) order by o.id), '[]')
                          from stm.offers o join stm.jobs j on j.id = o.job_id
                          where j.customer_id = (select id from stm.customers where user_id = u.id)
                             or j.provider_id = (select id from stm.providers where user_id = u.id)),
               'payments', (select coalesce(jsonb_agg(to_jsonb(y) order by y.id), '[]')
                            from stm.payments y join stm.jobs j on j.id = y.job_id
                            where j.customer_id = (select id from stm.customers where user_id = u.id)
                               or j.provider_id = (select id from stm.providers where user_id = u.id)),
               'invoices', (select coalesce(jsonb_agg(to_jsonb(i) order by i.id), '[]')
                            from stm.invoices i join stm.jobs j on j.id = i.job_id
                            where j.customer_id = (select id from stm.customers where user_id = u.id)
                               or j.provider_id = (select id from stm.providers where user_id = u.id)),
               'reviews', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id), '[]') from stm.reviews r
                           where r.customer_id = (select id from stm.customers where user_id = u.id)
                              or r.provider_id = (select id from stm.providers where user_id = u.id)),
               'disputes', (select coalesce(jsonb_agg(to_jsonb(d) order by d.id), '[]')
                            from stm.disputes d join stm.jobs j on j.id = d.job_id
                            where j.customer_id = (select id from stm.customers where user_id = u.id)
                               or j.provider_id = (select id from stm.providers where user_id = u.id)),
               'serviceRequests', (select coalesce(jsonb_agg(to_jsonb(q) order by q.id), '[]')
                                   from stm.service_requests q where q.requested_by = u.id),
               'chats', (select coalesce(jsonb_agg(to_jsonb(m)), '[]') from stm.chat_members m where m.user_id = u.id),
               'messages', (select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]')
                            from (select id, chat_id, seq, message, message_type, created_at
                                  from stm.messages where sender_id = u.id order by id desc limit 50000) m),
               'notifications', (select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]')
                                 from stm.notifications n where n.recipient_id = u.id),
               'emails', (select coalesce(jsonb_agg(jsonb_build_object('status', e.status, 'createdAt', e.created_at,
                                                                       'endedAt', e.ended_at)), '[]')
                          from stm.emails e where e.user_id = u.id),
               'files', (select coalesce(jsonb_agg(jsonb_build_object('name', f.name, 'purpose', f.purpose, 'type', f.content_type,
                                                                      'bytes', f.bytes, 'createdAt', f.created_at)
                                                   order by f.created_at), '[]')
                         from stm.files f where f.owner_id = u.id and f.state in ('pending', 'attached')),
               'documents', (select coalesce(jsonb_agg(to_jsonb(d) order by d.id), '[]')
                             from stm.provider_documents d join stm.providers p on p.id = d.provider_id
                             where p.user_id = u.id),
               'lastSeenAt', (select p.last_seen_at from stm.presence p where p.user_id = u.id)) as "export!"
           from stm.users u
           where u.id = $1 and u.banned_at is null"#,
        user.0,
    )
    .fetch_optional(pooler)
    .await
}
