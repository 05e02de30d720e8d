//! Checks that the peer does the same work as the service: the same answers, and the same rows after a booking.

use serde_json::Value;
use testing::Database;

use crate::compare::Side;
use crate::load::answer;
use crate::workloads::{CUSTOMERS, Workload};

/// Compares one answer of each side, and what it has stored if it makes a job.
pub async fn check(sides: &[Side], database: &Database, workload: &Workload<'_>) {
    let mut first = None;
    for (place, side) in sides.iter().enumerate() {
        // Always the same customer. Each booking has another provider, and all providers are alike.
        let mut answer = answer(side.server.port, &(workload.request)(place * CUSTOMERS)).await;
        let rows = if workload.makes_jobs { Some(rows(database, &mut answer).await) } else { None };
        let expected = first.get_or_insert_with(|| (answer.clone(), rows.clone()));
        assert_eq!((&answer, &rows), (&expected.0, &expected.1), "{} of {}", workload.name, side.name);
    }
}

/// Returns the rows that a booking has stored. Removes ids and times from the answer.
async fn rows(database: &Database, answer: &mut Value) -> Value {
    let job = answer["job"]["id"].as_i64().expect("an id");
    for (part, name) in
        [("job", "id"), ("job", "created_at"), ("job", "response_deadline"), ("chat", "id"), ("chat", "created_at")]
    {
        let value = answer[part].as_object_mut().and_then(|part| part.remove(name));
        assert!(value.is_some_and(|value| !value.is_null()), "no {part}.{name}: {answer}");
    }
    let rows = sqlx::query_scalar(include_str!("same_rows.sql")).bind(job);
    rows.fetch_one(&mut database.session().await).await.expect("the rows of a booking")
}
