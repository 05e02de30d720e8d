//! SQL by which admins change the catalogue.

use serde_json::Value;

use crate::types::{ServiceId, text_enum};
use doors::{Pooler, Tx};

/// A service as admins see and record it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ServiceRow {
    pub name: String,
    pub category: String,
    pub description: Option<String>,
    pub questions_json: Option<Value>,
    pub is_popular: bool,
}

/// Makes whoever adds services wait until the transaction ends: what another one adds is seen by the next statement.
pub(crate) async fn lock_names(tx: &mut Tx<Pooler>) -> sqlx::Result<()> {
    sqlx::query!(r#"select pg_advisory_xact_lock(hashtextextended('stm.services.name', 0)) as "locked!: ()""#)
        .fetch_one(tx)
        .await
        .map(drop)
}

/// Locks a service until the transaction ends. Returns `None` if there is none, or it is deleted.
pub(crate) async fn lock(tx: &mut Tx<Pooler>, id: ServiceId) -> sqlx::Result<Option<ServiceRow>> {
    sqlx::query_as!(
        ServiceRow,
        "select name, category, description, questions_json, is_popular
         from stm.services
         where id = $1 and status <> 'deleted'
         for no key update",
        id.0,
    )
    .fetch_optional(tx)
    .await
}

/// A change of a service; `None` leaves a field as it is.
#[derive(Debug)]
pub(crate) struct ServiceChange {
    pub name: Option<String>,
    pub category: Option<String>,
    pub description: Option<String>,
    pub questions: Option<Value>,
    pub is_popular: Option<bool>,
}

/// Changes a service. A name that another service has violates `services_name_key`.
pub(crate) async fn set(tx: &mut Tx<Pooler>, id: ServiceId, change: &ServiceChange) -> sqlx::Result<ServiceRow> {
    sqlx::query_as!(
        ServiceRow,
        "update stm.services
         set name = coalesce($2, name), category = coalesce($3, category), description = coalesce($4, description),
             questions_json = coalesce($5, questions_json), is_popular = coalesce($6, is_popular),
             popular_by_admin = coalesce($6, popular_by_admin), updated_at = now()
         where id = $1
         returning name, category, description, questions_json, is_popular",
        id.0,
        change.name,
        change.category,
        change.description,
        change.questions,
        change.is_popular,
    )
    .fetch_one(tx)
    .await
}

/// Takes a service out of the catalogue. Its row stays, for the jobs that name it.
pub(crate) async fn delete(tx: &mut Tx<Pooler>, id: ServiceId) -> sqlx::Result<()> {
    sqlx::query!("update stm.services set status = 'deleted', updated_at = now() where id = $1", id.0)
        .execute(tx)
        .await
        .map(drop)
}

/// Decides anew which services are popular by their bookings.
pub(crate) async fn set_popularity(tx: &mut Tx<Pooler>) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.services s
         set is_popular = not s.is_popular
         from (select x.id, coalesce(j.bookings, 0) >= t.popularity_threshold as is_popular
               from stm.settings t, stm.services x
               left join (select service_id, count(*) as bookings from stm.jobs group by service_id) j
                   on j.service_id = x.id) counted
         where s.id = counted.id and s.popular_by_admin is null and s.is_popular <> counted.is_popular",
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Adds a service, unless one has this name. Returns its id either way. Needs [`lock_names`].
pub(crate) async fn insert_or_find(
    tx: &mut Tx<Pooler>,
    name: &str,
    category: &str,
    description: &str,
    questions: Option<&Value>,
) -> sqlx::Result<ServiceId> {
    sqlx::query_scalar!(
        r#"with known as (
               select id from stm.services where lower(name) = lower($1) and status <> 'deleted'
           ), added as (
               insert into stm.services (name, category, description, questions_json)
               select $1, $2, $3, $4 where not exists (select from known)
               returning id
           )
           select id as "id!: ServiceId" from known union all select id from added"#,
        name,
        category,
        description,
        questions,
    )
    .fetch_one(tx)
    .await
}

/// Services to import, a list for each field.
#[derive(Debug, Default)]
pub(crate) struct ServiceRows {
    /// Each once, upper and lower case being the same.
    pub names: Vec<String>,
    pub categories: Vec<String>,
    pub descriptions: Vec<Option<String>>,
    pub questions: Vec<Option<Value>>,
}

text_enum! {
    /// What an import has done with a row.
    ImportOutcome {
        Created = "created",
        Updated = "updated",
        /// The service was there already, just so.
        Unchanged = "unchanged",
    }
}

/// A row that was imported.
#[derive(Debug)]
pub(crate) struct ImportedRow {
    /// The row's position in the lists, from 1.
    pub at: i64,
    pub id: ServiceId,
    pub outcome: ImportOutcome,
}

/// Adds services, and changes those whose name is known. Needs [`lock_names`].
pub(crate) async fn import(tx: &mut Tx<Pooler>, rows: &ServiceRows) -> sqlx::Result<Vec<ImportedRow>> {
    sqlx::query_as!(
        ImportedRow,
        r#"with given as (
               select g.name, g.category, g.description, g.questions, g.at, s.id,
                      (s.category, s.description, s.questions_json) is distinct from
                      (g.category, coalesce(g.description, s.description), coalesce(g.questions, s.questions_json)) as differs
               from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])
                    with ordinality as g (name, category, description, questions, at)
               left join stm.services s on lower(s.name) = lower(g.name) and s.status <> 'deleted'
           ), changed as (
               update stm.services s
               set category = g.category, description = coalesce(g.description, s.description),
                   questions_json = coalesce(g.questions, s.questions_json), updated_at = now()
               from given g
               where s.id = g.id and g.differs
           ), added as (
               insert into stm.services (name, category, description, questions_json)
               select g.name, g.category, g.description, g.questions from given g where g.id is null order by g.at
               returning id, name
           )
           select g.at as "at!", coalesce(g.id, a.id) as "id!: ServiceId",
                  case when g.id is null then 'created' when g.differs then 'updated' else 'unchanged' end
                      as "outcome!: ImportOutcome"
           from given g
           left join added a on lower(a.name) = lower(g.name)
           order by g.at"#,
        &rows.names,
        &rows.categories,
        &rows.descriptions as &[Option<String>],
        &rows.questions as &[Option<Value>],
    )
    .fetch_all(tx)
    .await
}
