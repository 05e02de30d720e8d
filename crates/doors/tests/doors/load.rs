//! A load whose right answers are known: the shapes of `doors`, and those that only a relay with names can carry.

use doors::{Pooler, sqlstate};
use sqlx::{Executor, Postgres, Row as _};

use crate::base::{self, Tally, WRITES};
use testing::{Database, execute};

/// Shapes for any setting.
pub const COMMON: usize = base::SHAPES + 6;

/// And those with types of our own. sqlx asks for a type's number between preparing a statement and executing it,
/// which costs an unnamed statement its life.
pub const ALL: usize = COMMON + 3;

/// What the load needs.
pub async fn prepare(database: &Database) {
    let schema =
        "create table hazard (n int4); create type mood as enum ('glad', 'sad'); create type pair as (l int4, r text)";
    execute(&mut database.session().await, schema).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Glad,
    Sad,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "pair")]
struct Pair {
    l: i32,
    r: String,
}

/// Whether it is the error that was asked for.
fn failed_as_it_should<T>(answer: sqlx::Result<T>, code: &str) -> sqlx::Result<bool> {
    match answer {
        Err(error) if sqlstate(&error).as_deref() == Some(code) => Ok(true),
        answered => answered.map(|_| false),
    }
}

/// Whether a transaction is over after this shape.
fn is_an_error(shape: usize) -> bool {
    [10, base::SHAPES + 4, base::SHAPES + 5].contains(&shape)
}

/// Runs a shape with `n`. Returns whether the answer is right.
async fn is_right<'e>(executor: impl Executor<'e, Database = Postgres>, shape: usize, n: i32) -> sqlx::Result<bool> {
    let text = n.to_string();
    let mood = if n % 3 == 0 { Mood::Sad } else { Mood::Glad };
    Ok(match shape.checked_sub(base::SHAPES) {
        None => return base::is_right(executor, shape, n).await,
        Some(0) => {
            let row = sqlx::query("select $1::int4 as n, coalesce($2::text, $3::text) as t, $4::int8[] as a")
                .bind(None::<i32>)
                .bind(None::<String>)
                .bind(&text)
                .bind(None::<Vec<i64>>)
                .fetch_one(executor)
                .await?;
            row.try_get::<Option<i32>, _>("n")?.is_none()
                && row.try_get::<String, _>("t")? == text
                && row.try_get::<Option<Vec<i64>>, _>("a")?.is_none()
        }
        Some(1) => {
            let rows = sqlx::query("select i, i || $2::text from generate_series($1::int4, $1 + 60) i")
                .bind(n)
                .bind(&text)
                .fetch_all(executor)
                .await?;
            let mut right = rows.len() == 61;
            for (row, i) in rows.iter().zip(n..) {
                right &= row.try_get::<i32, _>(0)? == i && row.try_get::<String, _>(1)? == format!("{i}{text}");
            }
            right
        }
        // As the `query!` macros read: they do not look at the columns' types again.
        Some(2) => sqlx::query("select 1 as one").fetch_one(executor).await?.try_get_unchecked::<i32, _>("one")? == 1,
        // No row, and more than one column.
        Some(3) => sqlx::query("select $1::int4, $2::text where false")
            .bind(n)
            .bind(&text)
            .fetch_optional(executor)
            .await?
            .is_none(),
        // Fails when it is prepared, and when it is bound or executed.
        Some(4) => {
            failed_as_it_should(sqlx::query("select no_such_column from hazard").fetch_all(executor).await, "42703")?
        }
        Some(5) => {
            let number = sqlx::query("select ($1::text || 'x')::int4").bind(&text).fetch_one(executor).await;
            failed_as_it_should(number, "22P02")?
        }
        Some(6) => {
            let row = sqlx::query("select $1::mood as mood, $2::int4 as n").bind(mood).bind(n);
            let row = row.fetch_one(executor).await?;
            row.try_get::<Mood, _>("mood")? == mood && row.try_get::<i32, _>("n")? == n
        }
        Some(7) => {
            let moods = vec![mood, Mood::Glad, Mood::Sad];
            let row = sqlx::query("select $2::int4 as n, $1::mood[] as moods").bind(&moods).bind(n);
            let row = row.fetch_one(executor).await?;
            row.try_get::<Vec<Mood>, _>("moods")? == moods && row.try_get::<i32, _>("n")? == n
        }
        Some(_) => {
            let pair = sqlx::query("select ($1::int4, $2::text)::pair as pair").bind(n).bind(&text);
            pair.fetch_one(executor).await?.try_get::<Pair, _>("pair")? == Pair { l: n, r: text }
        }
    })
}

/// One operation through the door: a write in a transaction, a single read, or a transaction that reads.
async fn operate(pooler: &Pooler, shape: usize, n: i32) -> sqlx::Result<bool> {
    if shape == WRITES {
        let mut tx = pooler.write().await?;
        let mut right = true;
        if n % 3 == 0 {
            right &= is_right(&mut tx, usize::try_from(n).unwrap_or_default() % 10, n).await?;
        }
        right &= is_right(&mut tx, shape, n).await?;
        tx.commit().await?;
        Ok(right)
    } else if n % 2 == 0 {
        is_right(pooler, shape, n).await
    } else {
        let mut tx = pooler.read().await?;
        let mut right = is_right(&mut tx, shape, n).await?;
        if n % 3 == 0 && !is_an_error(shape) {
            right &= is_right(&mut tx, usize::try_from(n).unwrap_or_default() % 10, n).await?;
        }
        Ok(right)
    }
}

/// The load, through the door.
pub async fn run(pooler: &Pooler, shapes: usize, enough: impl Fn(i32) -> bool + Clone + Send + 'static) -> Tally {
    let operation = |pooler: Pooler, shape, n| async move { operate(&pooler, shape, n).await };
    base::load(pooler.clone(), shapes, enough, operation).await
}
