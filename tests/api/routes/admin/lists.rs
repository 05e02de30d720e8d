//! Providers, jobs, disputes and reviews of everybody.

use serde_json::{Value, json};

use super::Office;
use crate::support::ids;

impl Office {
    async fn total(&self, path: &str) -> Value {
        self.get(path).await["pagination"]["total"].clone()
    }

    async fn refuses(&self, path: &str, field: &str) {
        assert_eq!(self.answer(path).await.expect(400)["errors"][0]["field"], field, "{path}");
    }
}

#[tokio::test]
async fn providers_are_found_sorted_and_paged() {
    let office = Office::start().await;
    let other = office.world.provider("House cleaning").await;
    office
        .world
        .sql(&format!(
            "update stm.providers set business_name = 'Clean 100%', region = 'NY', status = 'inactive', rating = 4.5, total_jobs = 3,
                    earnings_cents = 12050 where id = {0};
             update stm.users set first_name = 'Clara', email = 'clara@example.com' where id = {1}",
            other.id, other.user.id
        ))
        .await;
    let (first, second) = (office.provider.id, other.id);
    for (query, found) in [
        ("", vec![second, first]),
        ("?limit=1000", vec![second, first]),
        ("?search=100%25", vec![second]),
        ("?search=CLARA@", vec![second]),
        ("?search=pete", vec![first]),
        ("?region=New%20York", vec![second, first]),
        ("?region=Ohio", vec![]),
        ("?status=inactive", vec![second]),
        ("?minRating=4", vec![second]),
        ("?maxRating=4", vec![first]),
        ("?sortBy=rating&sortOrder=asc", vec![first, second]),
        ("?sortBy=rating", vec![second, first]),
        ("?sortBy=totalJobs&sortOrder=asc", vec![first, second]),
        ("?sortBy=totalEarnings", vec![second, first]),
        ("?sortBy=businessName&sortOrder=asc", vec![second, first]),
        ("?sortBy=businessName&sortOrder=desc", vec![first, second]),
        ("?sortOrder=asc", vec![first, second]),
        ("?limit=1&page=2", vec![first]),
        ("?search=clean&region=NY&status=inactive&page=1&limit=20", vec![second]),
    ] {
        assert_eq!(ids(&office.get(&format!("/admin/providers{query}")).await["data"]), found, "{query}");
    }
    assert_eq!(office.total("/admin/providers?page=7").await, 2);
    let seen = office.get("/admin/providers?search=clara").await["data"][0].clone();
    assert_eq!(
        (&seen["totalEarnings"], &seen["lsm"]["name"], &seen["ownerName"]),
        (&json!(120.5), &json!("Lena Local"), &json!("Clara Pipes"))
    );
    for (query, field) in [
        ("?status=lost", "status"),
        ("?minRating=6", "minRating"),
        ("?sortBy=luck", "sortBy"),
        ("?sortOrder=up", "sortOrder"),
        ("?page=0", "page"),
    ] {
        office.refuses(&format!("/admin/providers{query}"), field).await;
    }

    let one = office.get(&format!("/admin/providers/{first}")).await;
    assert_eq!((&one["owner"]["email"], &one["documents"]), (&json!(office.provider.user.email), &json!([])));
    assert_eq!((&one["services"][0]["name"], &one["zipcode"]), (&json!("Plumbing"), &json!("10001")));
    assert_eq!(one["statistics"]["openJobs"], 0);
    office.answer("/admin/providers/999999").await.expect(404);
}

#[tokio::test]
async fn jobs_are_found_by_every_filter() {
    let office = Office::start().await;
    let (old, _) = office.new_job().await;
    office
        .world
        .sql("update stm.jobs set status = 'paid', created_at = '2026-01-15T12:00:00Z', price_cents = 100")
        .await;
    let other = office.world.provider("House cleaning").await;
    let booked = office.world.book(&office.customer, &other).await;
    let new = booked["job"]["id"].as_i64().expect("an id");
    office.world.sql(&format!("update stm.providers set region = 'Ohio' where id = {}", other.id)).await;
    let (customer, lsm) =
        (office.customer_id().await, office.world.number("select min(id) from stm.local_service_managers").await);
    for (query, found) in [
        (String::new(), vec![new, old]),
        ("?status=new,in_progress".into(), vec![new]),
        ("?status=paid".into(), vec![old]),
        ("?status=accepted".into(), vec![]),
        (format!("?providerId={}", other.id), vec![new]),
        (format!("?serviceId={}", office.provider.service_id), vec![old]),
        (format!("?customerId={customer}"), vec![new, old]),
        (format!("?lsmId={lsm}"), vec![new, old]),
        ("?lsmId=999999".into(), vec![]),
        ("?region=OH".into(), vec![new]),
        ("?fromDate=2026-01-15&toDate=2026-01-15".into(), vec![old]),
        ("?fromDate=2026-01-16".into(), vec![new]),
        ("?toDate=2026-01-14".into(), vec![]),
        ("?sortBy=price".into(), vec![new, old]),
        ("?sortBy=price&sortOrder=asc".into(), vec![old, new]),
        ("?sortOrder=asc".into(), vec![old, new]),
        ("?limit=1&page=2".into(), vec![old]),
    ] {
        assert_eq!(ids(&office.get(&format!("/admin/jobs{query}")).await["data"]), found, "{query}");
    }
    assert_eq!(office.total("/admin/jobs?page=9&status=new").await, 1);
    let seen = office.get("/admin/jobs?status=new").await["data"][0].clone();
    assert_eq!(
        (&seen["customer"], &seen["provider"]["id"], &seen["paymentStatus"], &seen["lsm"]["name"]),
        (&json!({"id": customer, "name": "Ann Archer"}), &json!(other.id), &Value::Null, &json!("Lena Local"))
    );
    for (query, field) in [
        ("?status=lost", "status"),
        ("?fromDate=soon", "fromDate"),
        ("?toDate=2026-13-01", "toDate"),
        ("?providerId=x", "providerId"),
        ("?sortBy=luck", "sortBy"),
        ("?limit=0", "limit"),
    ] {
        office.refuses(&format!("/admin/jobs{query}"), field).await;
    }
}

#[tokio::test]
async fn disputes_are_seen_in_every_state() {
    let office = Office::start().await;
    let (job, chat) = office.new_job().await;
    office.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
    let dispute = office.customer_posts("/customers/disputes", &json!({"jobId": job, "description": "It leaks"})).await;
    let id = dispute.expect(201)["disputeId"].clone();
    let path = format!("/admin/disputes/{id}");
    let seen = office.get(&path).await;
    assert_eq!(
        (&seen["status"], &seen["chatId"], &seen["service"], &seen["lsm"]["name"]),
        (&json!("pending"), &json!(chat), &json!("Plumbing"), &json!("Lena Local"))
    );
    let lsm = office.world.lsm().await;
    office.world.post_as(&lsm, &format!("/lsm/disputes/{id}/join-chat"), &json!({})).await.expect(200);
    assert_eq!(office.get(&path).await["status"], "under_review");
    for (status, total) in [("pending", 1), ("under_review", 1), ("resolved", 0)] {
        assert_eq!(office.total(&format!("/admin/disputes?status={status}")).await, total, "{status}");
    }
    let notes = json!({"resolutionNotes": "Mended"});
    office.world.post_as(&lsm, &format!("/lsm/disputes/{id}/resolve"), &notes).await.expect(200);
    let seen = office.get(&path).await;
    assert_eq!((&seen["status"], &seen["resolutionNotes"]), (&json!("resolved"), &json!("Mended")));
    for (status, total) in [("pending", 0), ("under_review", 0), ("resolved", 1)] {
        assert_eq!(office.total(&format!("/admin/disputes?status={status}")).await, total, "{status}");
    }
    assert_eq!(office.total("/admin/disputes?page=5").await, 1);
    office.refuses("/admin/disputes?status=lost", "status").await;
    office.answer("/admin/disputes/999999").await.expect(404);
}

#[tokio::test]
async fn a_review_is_deleted_and_the_rating_is_that_of_the_others() {
    let office = Office::start().await;
    for rating in [5, 2] {
        let (job, _) = office.new_job().await;
        office.world.sql(&format!("update stm.jobs set status = 'paid' where id = {job}")).await;
        let review = json!({"rating": rating, "feedback": "so"});
        office.customer_posts(&format!("/customers/jobs/{job}/feedback"), &review).await.expect(200);
    }
    assert_eq!(
        office.get("/admin/reviews/stats").await,
        json!({"totalReviews": 2, "averageRating": 3.5, "ratingBreakdown": {"1": 0, "2": 1, "3": 0, "4": 0, "5": 1}})
    );
    let customer = office.customer_id().await;
    for (query, total) in [
        (String::new(), 2),
        ("?maxRating=2".into(), 1),
        ("?minRating=3".into(), 1),
        (format!("?providerId={}", office.provider.id), 2),
        ("?providerId=999999".into(), 0),
        (format!("?customerId={customer}"), 2),
        ("?page=4".into(), 2),
    ] {
        assert_eq!(office.total(&format!("/admin/reviews{query}")).await, total, "{query}");
    }
    office.refuses("/admin/reviews?minRating=6", "minRating").await;

    let bad = office.get("/admin/reviews?maxRating=2").await["data"][0].clone();
    let path = format!("/admin/reviews/{}", bad["id"]);
    assert_eq!(office.get(&path).await, bad);
    office.delete(&path).await.expect(200);
    assert_eq!(office.world.text("select rating::text from stm.providers").await, "5.00");
    office.delete(&path).await.expect(404);
    office.answer(&path).await.expect(404);
    let event = office.get("/admin/events").await["data"][0].clone();
    assert_eq!((&event["action"], &event["before"]["rating"]), (&json!("delete_review"), &json!(2)));
}

#[tokio::test]
async fn providers_are_reminded_once_a_day() {
    let office = Office::start().await;
    let other = office.world.provider("Plumbing").await;
    office.world.post_as(&other.user, "/provider/confirm-availability", &json!({})).await.expect(200);
    let sent = office.post("/admin/test/send-availability-reminders", &json!({})).await.expect(200);
    assert_eq!(sent["stats"], json!({"success": 1, "failed": 0, "total": 1}));
    assert_eq!(
        office.notified(&office.provider.user).await.last().map(String::as_str),
        Some("Are you still available?")
    );
    let mails = format!("select count(*) from stm.emails where user_id = {}", office.provider.user.id);
    assert_eq!(office.world.number(&mails).await, 1);
    let again = office.post("/admin/availability-reminders", &json!({})).await.expect(200);
    assert_eq!(again["stats"], json!({"success": 0, "failed": 0, "total": 0}));
    assert_eq!(office.actions().await, ["send_availability_reminders"]);
}
