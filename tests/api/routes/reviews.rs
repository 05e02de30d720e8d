//! Customers' reviews of paid jobs.

use std::time::Instant;

use serde_json::{Value, json};
use testing::world::Answer;
use testing::{PATIENCE, execute};

use crate::support::Scene;

impl Scene {
    /// Books, and has the job paid.
    async fn paid_job(&self) -> i64 {
        let (id, _) = self.new_job().await;
        self.world.sql(&format!("update stm.jobs set status = 'paid', completed_at = now() where id = {id}")).await;
        id
    }

    async fn review(&self, job: i64, body: &Value) -> Answer {
        self.customer_posts(&format!("/customers/jobs/{job}/feedback"), body).await
    }

    async fn notified_of_reviews(&self, user: i64) -> i64 {
        let notified =
            format!("select count(*) from stm.notifications where recipient_id = {user} and type = 'feedback'");
        self.world.number(&notified).await
    }
}

#[tokio::test]
async fn a_paid_job_is_reviewed_once() {
    let scene = Scene::start().await;
    let job = scene.paid_job().await;
    let pending = scene.world.get_as(&scene.customer, "/customers/pending-feedback").await.expect(200);
    assert_eq!(pending["pendingCount"], 1);
    let waiting = &pending["jobs"][0];
    assert_eq!(
        (&waiting["jobId"], &waiting["service"], &waiting["provider"], &waiting["amount"]),
        (&json!(job), &json!("Plumbing"), &json!("Pete's Pipes"), &json!(120.5))
    );
    assert!(waiting["completedAt"].is_string(), "{waiting}");

    let review =
        json!({"rating": 4, "feedback": " Well done ", "punctualityRating": 5, "responseTime": 15, "providerId": 1});
    let answer = scene.review(job, &review).await.expect(200);
    assert_eq!(answer, json!({"message": "Feedback submitted successfully"}));
    assert_eq!(scene.review(job, &review).await.expect(409)["code"], "already_reviewed");
    assert_eq!(scene.world.number("select count(*) from stm.reviews").await, 1);
    let events = format!(
        "select count(*) from stm.job_events where job_id = {job} and action = 'review' and actor_id = {}",
        scene.customer.id
    );
    assert_eq!(scene.world.number(&events).await, 1);
    assert_eq!(scene.notified_of_reviews(scene.provider.user.id).await, 1);
    let pending = scene.world.get_as(&scene.customer, "/customers/pending-feedback").await.expect(200);
    assert_eq!(pending, json!({"pendingCount": 0, "jobs": []}));

    let page = scene.world.get_as(&scene.provider.user, "/provider/reviews").await.expect(200);
    let listed = &page["data"][0];
    assert_eq!(
        page,
        json!({
            "data": [{
                "id": listed["id"], "customer": {"name": "Ann Archer"}, "rating": 4,
                "job": {"id": job, "service": "Plumbing", "category": "Repairs", "price": 120.5,
                    "completedAt": listed["job"]["completedAt"]},
                "feedback": "Well done", "punctualityRating": 5, "responseTime": 15, "createdAt": listed["createdAt"],
            }],
            "pagination": {"total": 1, "page": 1, "limit": 20, "totalPages": 1},
        })
    );
    let one = format!("/provider/reviews/{}", listed["id"]);
    assert_eq!(scene.world.get_as(&scene.provider.user, &one).await.expect(200), *listed);
    let other = scene.world.provider("Plumbing").await;
    assert_eq!(scene.world.get_as(&other.user, &one).await.expect(404)["code"], "not_found");
    let none = scene.world.get_as(&other.user, "/provider/reviews").await.expect(200);
    assert_eq!((&none["data"], &none["pagination"]["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn only_a_paid_job_of_the_callers_is_reviewed() {
    let scene = Scene::start().await;
    let job = scene.paid_job().await;
    let good = json!({"rating": 5});
    let stranger = scene.world.customer().await;
    let path = format!("/customers/jobs/{job}/feedback");
    scene.world.post_as(&stranger, &path, &good).await.expect(404);
    scene.review(999_999, &good).await.expect(404);
    for status in ["new", "in_progress", "completed", "cancelled", "rejected_by_sp"] {
        scene.world.sql(&format!("update stm.jobs set status = '{status}'")).await;
        assert_eq!(scene.review(job, &good).await.expect(409)["code"], "wrong_state", "{status}");
    }
    scene
        .world
        .sql("update stm.jobs set status = 'paid'; update stm.users set banned_at = now() where role = 'customer'")
        .await;
    let refused = scene.review(job, &good).await.status.as_u16();
    assert!(matches!(refused, 401 | 403 | 404), "{refused}");
    assert_eq!(scene.world.number("select count(*) from stm.reviews").await, 0);
    assert_eq!(scene.notified_of_reviews(scene.provider.user.id).await, 0);
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let scene = Scene::start().await;
    let job = scene.paid_job().await;
    for (body, named) in [
        (json!({}), "rating"),
        (json!({"rating": 0}), "rating"),
        (json!({"rating": 6}), "rating"),
        (json!({"rating": 4.5}), "rating"),
        (json!({"rating": "five"}), "rating"),
        (json!({"rating": 2}), "feedback"),
        (json!({"rating": 1, "feedback": "  "}), "feedback"),
        (json!({"rating": 5, "feedback": "x".repeat(4001)}), "feedback"),
        (json!({"rating": 1, "feedback": "x".repeat(4001)}), "feedback"),
        (json!({"rating": 5, "punctualityRating": 0}), "punctualityRating"),
        (json!({"rating": 5, "punctualityRating": 6}), "punctualityRating"),
        (json!({"rating": 5, "responseTime": -1}), "responseTime"),
        (json!({"rating": 5, "responseTime": 527_041}), "responseTime"),
    ] {
        let answer = scene.review(job, &body).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], named, "{answer}");
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
    }
    let all = json!({"rating": 9, "punctualityRating": 9, "responseTime": -9});
    assert_eq!(scene.review(job, &all).await.expect(400)["errors"].as_array().map(Vec::len), Some(3));
    assert_eq!(scene.world.number("select count(*) from stm.reviews").await, 0);
}

#[tokio::test]
async fn the_lsm_is_notified_of_a_bad_review_and_every_one_counts() {
    let scene = Scene::start().await;
    let lsm = scene.world.lsm().await;
    for (rating, notified) in [(5, 0), (3, 0), (2, 1)] {
        let job = scene.paid_job().await;
        scene.review(job, &json!({"rating": rating, "feedback": "late"})).await.expect(200);
        assert_eq!(scene.notified_of_reviews(lsm.id).await, notified, "{rating}");
    }
    assert_eq!(scene.notified_of_reviews(scene.provider.user.id).await, 3);
    assert_eq!(scene.world.text("select rating::text from stm.providers").await, "3.33");
    let stats = scene.world.get_as(&scene.provider.user, "/provider/reviews/stats").await.expect(200);
    assert_eq!(
        stats,
        json!({
            "totalReviews": 3, "averageRating": 3.33, "averagePunctuality": 0.0, "averageResponseTime": 0.0,
            "ratingBreakdown": {"1": 0, "2": 1, "3": 1, "4": 0, "5": 1},
            "percentages": {"1": 0.0, "2": 33.3, "3": 33.3, "4": 0.0, "5": 33.3},
        })
    );
    let page =
        async |query: &str| scene.world.get_as(&scene.provider.user, &format!("/provider/reviews?{query}")).await;
    let second = page("page=2&limit=2").await.expect(200);
    assert_eq!(second["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["data"][0]["rating"], 5, "the oldest is the last");
    assert_eq!(second["pagination"], json!({"total": 3, "page": 2, "limit": 2, "totalPages": 2}));
    let beyond = page("page=3&limit=2").await.expect(200);
    assert_eq!((&beyond["data"], &beyond["pagination"]["total"]), (&json!([]), &json!(3)));
    for (query, named) in
        [("limit=0", "limit"), ("minRating=0", "minRating"), ("maxRating=6", "maxRating"), ("page=0", "page")]
    {
        assert_eq!(page(query).await.expect(400)["errors"][0]["field"], named);
    }
}

/// Reviews sent at the same time all count for the provider's rating.
#[tokio::test(flavor = "multi_thread")]
async fn racing_reviews_all_count() {
    /// As many as the local pooler runs at the same time.
    const AT_ONCE: i64 = 4;
    let scene = Scene::start().await;
    let mut jobs = Vec::new();
    for rating in 1..=AT_ONCE {
        jobs.push((scene.paid_job().await, json!({"rating": rating, "feedback": "so"})));
    }
    // All of them have begun before the first one may go on.
    let mut holder = scene.world.database.session().await;
    execute(&mut holder, "begin; select from stm.providers for update").await;
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let let_go = async {
        let started = Instant::now();
        while scene.world.number(waiting).await < AT_ONCE {
            assert!(started.elapsed() < PATIENCE, "the reviews do not wait for each other");
        }
        execute(&mut holder, "commit").await;
    };
    let attempts = jobs.iter().map(|(job, review)| scene.review(*job, review));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(attempts), let_go);
    for answer in answers {
        answer.expect(200);
    }
    assert_eq!(scene.world.text("select rating::text from stm.providers").await, "2.50");
}

/// A review that is sent many times at once counts once.
#[tokio::test(flavor = "multi_thread")]
async fn of_racing_reviews_of_a_job_one_counts() {
    let scene = Scene::start().await;
    let job = scene.paid_job().await;
    let review = json!({"rating": 5});
    let answers = futures_util::future::join_all((0..8).map(|_| scene.review(job, &review))).await;
    let of_status = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of_status(200), of_status(409)), (1, 7));
    assert_eq!(scene.notified_of_reviews(scene.provider.user.id).await, 1);
}
