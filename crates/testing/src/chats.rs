//! Chats and their members, inserted straight into the database: registering so many people would take long.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::stack::execute;
use crate::token::access_token;

/// The lifetime of the tokens.
const TOKENS_EXPIRE_IN: Duration = Duration::from_secs(3600);

/// An empty chat.
#[derive(Debug, Clone)]
pub struct Chat {
    pub id: String,
    pub members: Vec<Member>,
}

/// One of its members.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: i64,
    pub token: String,
}

/// Creates chats of two members with so many messages of this text each, and statistics of them: on empty tables
/// PostgreSQL plans, and keeps, scans of the whole table.
pub async fn create_with_history(session: &mut PgConnection, chats: usize, messages: usize, text: &str) -> Vec<Chat> {
    let chats = create(&mut *session, chats, 2).await;
    let ids: Vec<&str> = chats.iter().map(|chat| chat.id.as_str()).collect();
    let history = format!(
        "insert into stm.messages (chat_id, seq, sender_id, sender_type, client_message_id, message)
         select chat_id, i, min(user_id), 'customer', i, '{text}'
         from stm.chat_members, generate_series(1, {messages}) i
         where chat_id = any('{{{ids}}}') group by chat_id, i;
         update stm.chats set last_seq = {messages} where id = any('{{{ids}}}');",
        ids = ids.join(",")
    );
    execute(&mut *session, &history).await;
    execute(&mut *session, "vacuum (analyze)").await;
    execute(session, "checkpoint").await;
    chats
}

/// Creates empty chats with `members` members each, all of them different people. The schema must be there.
pub async fn create(session: &mut PgConnection, chats: usize, members: usize) -> Vec<Chat> {
    let name = format!("people-{:016x}", rand::random::<u64>());
    let people = chats * members;
    let sql = format!(
        "insert into stm.users (email, first_name, last_name, role)
         select '{name}-' || i || '@example.com', 'Member', i::text,
                case i when 0 then 'local_service_manager' when 1 then 'service_provider' else 'customer' end
         from generate_series(0, {people} + 1) i;
         insert into stm.local_service_managers (user_id, region)
         select id, 'New York' from stm.users where email = '{name}-0@example.com';
         insert into stm.providers (user_id, lsm_id, business_name, region, status, terms_accepted_at)
         select u.id, l.id, 'Pipes', 'New York', 'active', now()
         from stm.users u, stm.users lu join stm.local_service_managers l on l.user_id = lu.id
         where u.email = '{name}-1@example.com' and lu.email = '{name}-0@example.com';
         insert into stm.customers (user_id, address, region)
         select id, '1 Main Street', 'New York' from stm.users where email like '{name}-%' and role = 'customer';
         insert into stm.services (name, category) values ('{name}', 'Repairs');
         insert into stm.jobs (customer_id, provider_id, service_id, price_cents, zipcode, response_deadline)
         select c.id, p.id, s.id, 0, '10001', now()
         from stm.customers c join stm.users cu on cu.id = c.user_id, stm.providers p join stm.users pu on pu.id = p.user_id, stm.services s
         where cu.email = '{name}-2@example.com' and pu.email = '{name}-1@example.com' and s.name = '{name}';
         with made as (
             insert into stm.chats (job_id)
             select j.id from stm.jobs j join stm.services s on s.id = j.service_id, generate_series(1, {chats}) where s.name = '{name}'
             returning id
         ), numbered as (
             select id, row_number() over (order by id) - 1 as number from made
         )
         insert into stm.chat_members (chat_id, user_id, side)
         select numbered.id, u.id, 'customer'
         from stm.users u join numbered on numbered.number = (u.last_name::integer - 2) / {members}
         where u.email like '{name}-%' and u.role = 'customer';"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *session).await.expect("chats");

    let rows = sqlx::query(
        "select m.chat_id::text, array_agg(m.user_id order by m.user_id)
         from stm.chat_members m join stm.users u on u.id = m.user_id
         where u.email like $1 || '-%' group by m.chat_id order by m.chat_id",
    )
    .bind(&name)
    .fetch_all(session)
    .await
    .expect("members");
    assert_eq!(rows.len(), chats);
    let member = |id| Member { id, token: access_token(id, "member@example.com", "customer", TOKENS_EXPIRE_IN) };
    rows.iter()
        .map(|row| Chat { id: row.get(0), members: row.get::<Vec<i64>, _>(1).into_iter().map(member).collect() })
        .collect()
}
