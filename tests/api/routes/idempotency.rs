//! `Idempotency-Key`: the same request again is answered again, not carried out again.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testing::world::{Answer, User, World, booking};

use crate::support::{SERVE, Scene};

async fn post(world: &World, who: &User, path: &str, key: &str, body: &Value) -> Answer {
    let request = world.raw(Method::POST, path).bearer_auth(&who.token).header("Idempotency-Key", key).json(body);
    World::answer(request).await
}

/// Each operation that takes a key: the first answer again, one effect; 422 for another body.
#[tokio::test]
async fn the_first_answer_is_given_again() {
    let Scene { world, customer, provider } = Scene::start().await;
    let booking = booking(&provider);
    let booked = post(&world, &customer, "/jobs/create", "\"book-1\"", &booking).await.expect(201);
    let job = &booked["job"]["id"];
    let mut mark = json!({"action": "mark_payment", "paymentDetails": {"method": "cash"}});
    let mut other = booking.clone();
    other["location"] = json!("2 Main Street");

    let complete = "update stm.jobs set status = 'completed', completed_at = now()";
    let feedback = json!({"rating": 5});
    let dispute = json!({"jobId": job, "description": "It leaks"});
    let steps = [
        ("", &customer, "/jobs/create".to_owned(), &booking, 201),
        (complete, &provider.user, format!("/provider/jobs/{job}/update-status"), &mark, 200),
        ("", &customer, format!("/customers/jobs/{job}/feedback"), &feedback, 200),
        ("", &customer, "/customers/disputes".to_owned(), &dispute, 201),
    ];
    for (before, who, path, body, status) in steps {
        if !before.is_empty() {
            world.sql(before).await;
        }
        let key = if path == "/jobs/create" { "book-1" } else { &path };
        let first = post(&world, who, &path, key, body).await.expect(status);
        let again = post(&world, who, &path, key, body).await.expect(status);
        assert_eq!(first, again, "{path}");
        let mut changed = body.clone();
        changed["more"] = json!(1);
        let reused = post(&world, who, &path, key, &changed).await.expect(422);
        assert_eq!(reused["code"], "idempotency_key_reused");
    }
    assert_eq!(post(&world, &customer, "/jobs/create", "book-1", &booking).await.expect(201), booked);
    for table in ["jobs", "chats", "payments", "reviews", "disputes"] {
        assert_eq!(world.number(&format!("select count(*) from stm.{table}")).await, 1, "{table}");
    }
    assert_eq!(world.number("select sum(total_jobs)::bigint from stm.providers").await, 1);

    // A key belongs to its user, and is nothing to another operation.
    let another = world.customer().await;
    post(&world, &another, "/customer/booking", "book-1", &booking).await.expect(201);
    post(&world, &customer, "/customer/booking", "book-1", &booking).await.expect(422);
    mark["action"] = json!("mark_complete");
    for bad in ["", "a b", &"x".repeat(256)] {
        let refused = post(&world, &customer, "/jobs/create", bad, &other).await.expect(400);
        assert!(refused["message"].as_str().is_some_and(|message| message.starts_with("Idempotency-Key")), "{refused}");
    }
}

/// A refusal is not kept: the key can be used again when its cause is mended. After 24 hours a key is new.
#[tokio::test]
async fn refusals_are_not_kept_and_keys_grow_old() {
    let Scene { world, customer, provider } = Scene::start().await;
    let booking = booking(&provider);
    world.sql("update stm.providers set status = 'inactive'").await;
    post(&world, &customer, "/jobs/create", "k", &booking).await.expect(400);
    assert_eq!(world.number("select count(*) from stm.idempotency_keys").await, 0);
    world.sql("update stm.providers set status = 'active'").await;
    let first = post(&world, &customer, "/jobs/create", "k", &booking).await.expect(201);
    world.sql("update stm.jobs set status = 'paid'; update stm.idempotency_keys set created_at = now() - interval '23 hours 59 minutes'").await;
    assert_eq!(post(&world, &customer, "/jobs/create", "k", &booking).await.expect(201), first);
    world.sql("update stm.idempotency_keys set created_at = now() - interval '24 hours'").await;
    let second = post(&world, &customer, "/jobs/create", "k", &booking).await.expect(201);
    assert_ne!(second["job"]["id"], first["job"]["id"]);
}

/// Many at the same time: one is carried out, and all get its answer.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_is_carried_out() {
    let world = World::start(SERVE).await;
    let provider = world.provider("Plumbing").await;
    for round in 0..20 {
        let customer = world.customer().await;
        let key = format!("round-{round}");
        let booking = booking(&provider);
        let answers = join_all((0..8).map(|_| post(&world, &customer, "/jobs/create", &key, &booking))).await;
        let bodies: Vec<_> = answers.into_iter().map(|answer| answer.expect(201)).collect();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
        assert_eq!(world.number("select count(*) from stm.jobs").await, round + 1);
    }
}
