//! Dashboards, charts and reports: their figures are those of the rows.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testing::world::World;

use super::Office;
use crate::support::SERVE;

/// A marketplace with something of everything.
async fn office_with_jobs() -> Office {
    let office = Office::start().await;
    let mut session = office.world.database.session().await;
    for (status, cents) in
        [("new", 0), ("in_progress", 0), ("completed", 0), ("paid", 12_345), ("paid", 5), ("cancelled", 0)]
    {
        let job = office.world.new_job(&mut session, &office.customer, &office.provider).await;
        office.world.sql(&format!("update stm.jobs set status = '{status}' where id = {job}")).await;
        if status == "paid" {
            office
                .world
                .sql(&format!(
                    "insert into stm.payments (job_id, kind, amount_cents, status, method, marked_at)
                     values ({job}, 'job', {cents}, 'received', 'cash', now());
                     update stm.providers set earnings_cents = earnings_cents + {cents}, total_jobs = total_jobs + 1"
                ))
                .await;
        }
    }
    office
}

#[tokio::test]
async fn the_figures_are_those_of_the_rows() {
    let office = office_with_jobs().await;
    let stats = office.get("/admin/dashboard/stats").await;
    assert_eq!(
        stats["data"],
        json!({"activeJobs": 2, "activeUsers": 4, "revenueToday": 123.5, "pendingApprovals": 0, "totalProviders": 1, "totalLSMs": 1})
    );
    let dashboard = office.get("/admin/dashboard").await["data"].clone();
    assert_eq!(
        dashboard["jobs"],
        json!({"new": 1, "in_progress": 1, "completed": 1, "paid": 2, "cancelled": 1, "rejected_by_sp": 0})
    );
    assert_eq!(dashboard["users"], json!({"customers": 1, "providers": 1, "lsms": 1, "banned": 0}));
    assert_eq!(dashboard["providers"], json!({"pending": 0, "active": 1, "inactive": 0, "rejected": 0, "banned": 0}));
    assert_eq!(dashboard["revenue"], json!({"total": 123.5, "today": 123.5, "last30Days": 123.5}));
    assert_eq!(
        office.get("/admin/pending-actions").await["data"],
        json!({"serviceRequests": 0, "banRequests": 0, "providerOnboardings": 0, "openDisputes": 0, "unpaidJobs": 1})
    );
    let report = office.get("/admin/reports/regions").await["data"].clone();
    assert_eq!(
        report,
        json!([{"region": "New York", "providers": 1, "activeProviders": 1, "customers": 1, "lsms": 1, "paidJobs": 2,
            "revenue": 123.5, "averageRating": 0.0}])
    );
}

#[tokio::test]
async fn charts_have_a_point_for_each_day_or_month() {
    let office = office_with_jobs().await;
    for (period, points) in [("", 7), ("7days", 7), ("30d", 30), ("90days", 90), ("1year", 12), ("1y", 12)] {
        let query = if period.is_empty() { String::new() } else { format!("?period={period}") };
        let revenue = office.get(&format!("/admin/revenue{query}")).await["data"].clone();
        let revenue = revenue.as_array().expect("points");
        assert_eq!(revenue.len(), points, "{period}");
        assert_eq!((&revenue[points - 1]["revenue"], &revenue[points - 1]["jobs"]), (&json!(123.5), &json!(2)));
        let distribution = office.get(&format!("/admin/jobs-distribution{query}")).await;
        assert_eq!(distribution["data"].as_array().map(Vec::len), Some(points), "{period}");
        assert_eq!(
            distribution["summary"],
            json!({"total": 6, "new": 1, "in_progress": 1, "completed": 1, "paid": 2, "cancelled": 1, "rejected_by_sp": 0})
        );
    }
    for path in ["/admin/revenue?period=8days", "/admin/jobs-distribution?period=ever"] {
        assert_eq!(office.answer(path).await.expect(400)["errors"][0]["field"], "period");
    }
}

#[tokio::test]
async fn activities_say_what_happened() {
    let office = Office::start().await;
    let (job, _) = office.new_job().await;
    office.provider_posts(&format!("/provider/jobs/{job}/respond"), &json!({"action": "accept"})).await.expect(200);
    let request = json!({"keyword": "Roofing", "description": "Tiles", "region": "NY", "zipcode": "10001"});
    office.customer_posts("/customers/request-service", &request).await.expect(200);
    let all = office.get("/admin/activities?limit=8").await["data"].clone();
    let all = all.as_array().expect("activities");
    let keys: BTreeSet<_> = all.iter().map(|one| one["id"].as_str()).collect();
    assert_eq!((all.len(), keys.len()), (5, 5));
    let messages: Vec<_> = all.iter().map(|one| one["message"].as_str().expect("a message")).collect();
    assert!(messages.contains(&"Pete Pipes has accepted Plumbing by Pete's Pipes"), "{messages:?}");
    assert!(messages.contains(&"Ann Archer has booked Plumbing by Pete's Pipes"), "{messages:?}");
    assert_eq!(
        (&all[0]["type"], &all[0]["timeAgo"], &all[0]["status"]),
        (&json!("service_request"), &json!("just now"), &json!("pending"))
    );
    assert_eq!(office.get("/admin/activities?type=provider").await["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(office.get("/admin/activities?limit=1").await["data"].as_array().map(Vec::len), Some(1));
    for (query, field) in [("type=luck", "type"), ("limit=0", "limit")] {
        assert_eq!(office.answer(&format!("/admin/activities?{query}")).await.expect(400)["errors"][0]["field"], field);
    }
}

/// Before anything has happened.
#[tokio::test]
async fn an_empty_marketplace_has_figures_too() {
    let world = World::start(SERVE).await;
    let admin = world.admin().await;
    for path in [
        "/admin/dashboard",
        "/admin/dashboard/stats",
        "/admin/pending-actions",
        "/admin/activities",
        "/admin/revenue",
        "/admin/jobs-distribution",
        "/admin/reports/regions",
        "/admin/reviews/stats",
    ] {
        world.get_as(&admin, path).await.expect(200);
    }
    assert_eq!(world.get_as(&admin, "/admin/activities").await.expect(200)["data"], Value::Array(vec![]));
}
