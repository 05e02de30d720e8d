//! SQL of the counts of attempts.

use chrono::{DateTime, Utc};

use super::Bucket;
use doors::{Pooler, Tx};

/// How many counts are deleted at a time.
const MAX_DELETED: i64 = 10_000;

/// The buckets that are not full, each with the time at which it is.
pub(super) async fn find(pooler: &Pooler, buckets: &[Bucket]) -> sqlx::Result<Vec<(i64, DateTime<Utc>)>> {
    let keys: Vec<_> = buckets.iter().map(|bucket| bucket.key).collect();
    let rows = sqlx::query!("select key, full_at from stm.attempts where key = any($1)", &keys).fetch_all(pooler);
    Ok(rows.await?.into_iter().map(|row| (row.key, row.full_at)).collect())
}

/// Takes one interval out of each bucket that has it. Returns how many had.
pub(super) async fn count(tx: &mut Tx<Pooler>, buckets: &[Bucket], now: DateTime<Utc>) -> sqlx::Result<usize> {
    let keys: Vec<_> = buckets.iter().map(|bucket| bucket.key).collect();
    let full_at: Vec<_> = buckets.iter().map(|bucket| now + bucket.quota.interval()).collect();
    let latest: Vec<_> = buckets.iter().map(|bucket| now + bucket.tolerance() + bucket.clock_slack()).collect();
    let counted = sqlx::query!(
        "insert into stm.attempts as a (key, full_at)
         select c.key, c.full_at from unnest($1::bigint[], $2::timestamptz[]) as c (key, full_at) order by c.key
         on conflict (key) do update set full_at = greatest(a.full_at, $4) + (excluded.full_at - $4)
         where a.full_at <= (
             select c.latest from unnest($1::bigint[], $3::timestamptz[]) as c (key, latest) where c.key = a.key)",
        &keys,
        &full_at,
        &latest,
        now,
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(counted.rows_affected()).unwrap_or(usize::MAX))
}

/// Puts one interval back into each bucket. Locks them in the order of the keys, as counting does.
pub(super) async fn give_back(tx: &mut Tx<Pooler>, buckets: &[Bucket]) -> sqlx::Result<()> {
    let keys: Vec<_> = buckets.iter().map(|bucket| bucket.key).collect();
    let intervals_s: Vec<_> = buckets.iter().map(|bucket| bucket.quota.interval().as_secs_f64()).collect();
    sqlx::query!(
        "with locked as (select key from stm.attempts where key = any($1) order by key for update)
         update stm.attempts a set full_at = a.full_at - make_interval(secs => c.interval_s)
         from locked join unnest($1::bigint[], $2::float8[]) as c (key, interval_s) using (key)
         where a.key = locked.key",
        &keys,
        &intervals_s,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Deletes counts of buckets that are full. Returns how many.
pub(crate) async fn delete_spent(pooler: &Pooler, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut tx = pooler.write().await?;
    let deleted = sqlx::query!(
        "delete from stm.attempts
         where key in (select key from stm.attempts where full_at < $1 limit $2 for update skip locked)",
        now,
        MAX_DELETED,
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}
