//! The settings, and what they change.

use serde_json::{Value, json};
use testing::world::booking;

use super::Office;

#[tokio::test]
async fn settings_apply_to_what_comes_after() {
    let office = Office::start().await;
    let before = office.get("/admin/settings").await;
    assert_eq!(
        (&before["responseDeadlineMinutes"], &before["warningThreshold"], &before["cancellationFeePercentage"]),
        (&json!(60), &json!(3), &json!(25))
    );
    let change = json!({
        "responseDeadlineMinutes": 120, "warningThreshold": "1", "popularityThreshold": 2,
        "cancellationFeePercentage": 10, "defaultInPersonVisitCost": 49.5,
    });
    let after = office.put("/admin/settings", &change).await.expect(200);
    assert_eq!((&after["warningThreshold"], &after["defaultInPersonVisitCost"]), (&json!(1), &json!(49.5)));
    assert_eq!(office.get("/admin/settings").await, after);

    // The deadline, and the cost of a visit where the booking has none.
    let mut request = booking(&office.provider);
    request["requiresInPersonVisit"] = true.into();
    let job = office.customer_posts("/customer/booking", &request).await.expect(201)["job"]["id"].clone();
    let minutes =
        "select round(extract(epoch from response_deadline - created_at) / 60)::bigint from stm.jobs where id = ";
    assert_eq!(office.world.number(&format!("{minutes}{job}")).await, 120);
    let cost = "select in_person_visit_cost_cents from stm.jobs where id = ";
    assert_eq!(office.world.number(&format!("{cost}{job}")).await, 4950);

    // The fee: 10 % of 120.50 dollars, the day before.
    office.world.sql("update stm.jobs set scheduled_at = now() + interval '1 day'").await;
    let cancel = json!({"action": "cancel"});
    let cancelled = office.customer_posts(&format!("/customers/jobs/{job}/action"), &cancel).await.expect(200);
    assert_eq!(cancelled["cancellationFee"], 12.05);

    // The threshold of popularity: the second booking reaches it.
    let popular = format!("select is_popular::int::bigint from stm.services where id = {}", office.provider.service_id);
    assert_eq!(office.world.number(&popular).await, 0);
    office.new_job().await;
    assert_eq!(office.world.number(&popular).await, 1);
    office.put("/admin/settings", &json!({"popularityThreshold": 3})).await.expect(200);
    assert_eq!(office.world.number(&popular).await, 0, "a higher threshold takes it back");
    let service = format!("/admin/services/{}", office.provider.service_id);
    office.put(&service, &json!({"is_popular": true})).await.expect(200);
    office.put("/admin/settings", &json!({"popularityThreshold": 4})).await.expect(200);
    assert_eq!(office.world.number(&popular).await, 1, "an admin's word counts more");
}

#[tokio::test]
async fn the_lsm_hears_of_the_warning_that_reaches_the_threshold() {
    let office = Office::start().await;
    office.put("/admin/settings", &json!({"warningThreshold": 1})).await.expect(200);
    office.new_job().await;
    office.world.sql("update stm.jobs set response_deadline = now() - interval '1 hour'").await;
    let lsm = office.world.lsm().await;
    let warned =
        "select count(*) from stm.notifications where title = 'Provider warned repeatedly' and recipient_id = ";
    let started = std::time::Instant::now();
    while office.world.number(&format!("{warned}{}", lsm.id)).await == 0 {
        assert!(started.elapsed() < testing::PATIENCE, "the deadline was not acted upon");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn every_setting_has_a_range() {
    let office = Office::start().await;
    let before = office.get("/admin/settings").await;
    for (field, values) in [
        ("responseDeadlineMinutes", [json!(14), json!(1441)]),
        ("warningThreshold", [json!(0), json!(11)]),
        ("popularityThreshold", [json!(0), json!(1001)]),
        ("cancellationFeePercentage", [json!(-1), json!(101)]),
        ("defaultInPersonVisitCost", [json!(-1), json!(0.001)]),
    ] {
        for value in values {
            let refused = office.put("/admin/settings", &json!({field: value})).await.expect(400);
            assert_eq!(refused["errors"][0]["field"], field, "{value}");
        }
    }
    assert_eq!(office.get("/admin/settings").await, before);
    let unchanged = office.put("/admin/settings", &json!({})).await.expect(200);
    assert_eq!(without_time(unchanged), without_time(before));
}

fn without_time(mut settings: Value) -> Value {
    settings["updatedAt"].take();
    settings
}
