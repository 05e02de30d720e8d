//! The worker's part in what is counted: see `stm.tallied`.

use doors::Pooler;

/// The most changes of one pass.
const MAX_CHANGES: i64 = 10_000;

/// Folds changes of counts into one row for each kind and day, the oldest first. Returns how many changes there were.
/// Safe in several processes at once.
pub(crate) async fn fold(pooler: &Pooler) -> sqlx::Result<i64> {
    let mut tx = pooler.write().await?;
    let folded = sqlx::query_scalar!(
        r#"with folded as (
               delete from stm.tally_changes
               where id in (select id from stm.tally_changes order by id limit $1 for update skip locked)
               returning kind, day, count, cents
           ), sums as (
               select kind, day, sum(count) as count, sum(cents) as cents from folded group by kind, day
           ), stored as (
               insert into stm.tallies as t (kind, day, count, cents)
               select kind, day, count, cents from sums order by kind, day
               on conflict (kind, day) do update set count = t.count + excluded.count, cents = t.cents + excluded.cents
           )
           select count(*) as "folded!" from folded"#,
        MAX_CHANGES,
    )
    .fetch_one(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(folded)
}
