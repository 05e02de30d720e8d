//! The provider's dashboard and lists of jobs.

use serde_json::{Value, json};

use crate::support::{Scene, ids};

impl Scene {
    /// Books, and puts the job into a state. Returns the ids of the job and its chat.
    async fn job(&self, state: &str) -> (i64, String) {
        let (id, chat) = self.new_job().await;
        self.world.sql(&format!("update stm.jobs set {state} where id = {id}")).await;
        (id, chat)
    }

    async fn get(&self, path: &str) -> Value {
        self.world.get_as(&self.provider.user, path).await.expect(200)
    }

    /// The ids of a page.
    async fn listed(&self, query: &str) -> Vec<i64> {
        ids(&self.get(&format!("/provider/jobs?{query}")).await["data"])
    }
}

#[tokio::test]
async fn new_jobs_wait_with_their_answers_and_deadline() {
    let scene = Scene::start().await;
    let other = scene.world.provider("House cleaning").await;
    let (paid, _) = scene.job("status = 'paid'").await;
    let (id, chat) = scene.job("response_deadline = '2030-01-02 03:04:05Z', images = '{https://a.example/b}'").await;
    let list = scene.get("/provider/pending-jobs").await;
    assert_eq!(
        list,
        json!([{
            "id": id, "service": "Plumbing", "category": "Repairs", "customer": {"name": "Ann Archer", "phone": "+12125550123"},
            "location": "1 Main Street", "zipcode": "10001", "images": ["https://a.example/b"], "answers": {"Rooms": "3"},
            "price": 120.5, "customerBudget": 120.5, "scheduledAt": null, "responseDeadline": "2030-01-02T03:04:05.000Z",
            "response_deadline": "2030-01-02T03:04:05.000Z", "spAccepted": false, "pendingApproval": false, "chatId": chat,
            "createdAt": list[0]["createdAt"],
        }]),
        "not {paid}"
    );
    assert_eq!(scene.world.get_as(&other.user, "/provider/pending-jobs").await.expect(200), json!([]));
}

#[tokio::test]
async fn jobs_are_listed_in_pages_and_narrowed() {
    let scene = Scene::start().await;
    let other = scene.world.provider("House cleaning").await;
    let mut ids = Vec::new();
    for (at, status) in ["cancelled", "paid", "rejected_by_sp", "in_progress"].iter().enumerate() {
        ids.push(scene.job(&format!("status = '{status}', created_at = '2026-03-0{} 12:00Z'", at + 1)).await);
    }
    let [(cancelled, _), (paid, chat), (rejected, _), (running, _)] = &ids[..] else { panic!("four jobs") };
    let (cancelled, paid, rejected, running) = (*cancelled, *paid, *rejected, *running);
    scene
        .world
        .sql(&format!(
            "insert into stm.payments (job_id, kind, amount_cents, status, method, marked_at) values ({paid}, 'job', 12050, 'received', 'cash', now());
             insert into stm.payments (job_id, kind, amount_cents) values ({cancelled}, 'cancellation_fee', 3000);
             update stm.jobs set scheduled_at = '2026-04-01 10:00Z', completed_at = '2026-04-01 12:00Z' where id = {paid};"
        ))
        .await;

    let page = scene.get("/provider/jobs?status=paid").await;
    assert_eq!(
        page,
        json!({
            "data": [{
                "id": paid, "service": "Plumbing", "category": "Repairs",
                "customer": {"name": "Ann Archer", "phone": "+12125550123"}, "status": "paid", "price": 120.5,
                "paymentStatus": "received", "images": [], "scheduledAt": "2026-04-01T10:00:00.000Z",
                "completedAt": "2026-04-01T12:00:00.000Z", "createdAt": "2026-03-02T12:00:00.000Z", "chatId": chat,
            }],
            "pagination": {"total": 1, "page": 1, "limit": 20, "totalPages": 1},
        })
    );
    let of_cancelled = scene.get("/provider/jobs?status=cancelled").await;
    assert_eq!(of_cancelled["data"][0]["paymentStatus"], json!(null), "a fee is not the job's payment");

    for (query, expected) in [
        ("", vec![running, rejected, paid, cancelled]),
        ("status=", vec![running, rejected, paid, cancelled]),
        ("status=paid,%20cancelled", vec![paid, cancelled]),
        ("status=completed", vec![]),
        ("fromDate=2026-03-02", vec![running, rejected, paid]),
        ("fromDate=2026-03-02T12:00:00.001Z", vec![running, rejected]),
        ("toDate=2026-03-02", vec![paid, cancelled]),
        ("fromDate=2026-03-02&toDate=2026-03-03&status=paid,in_progress", vec![paid]),
        ("limit=3", vec![running, rejected, paid]),
        ("limit=3&page=2", vec![cancelled]),
        ("limit=3&page=3", vec![]),
    ] {
        assert_eq!(scene.listed(query).await, expected, "{query}");
    }
    let last = scene.get("/provider/jobs?limit=3&page=3").await;
    assert_eq!(last["pagination"], json!({"total": 4, "page": 3, "limit": 3, "totalPages": 2}));

    for (query, named) in [
        ("status=paid,unknown", "status"),
        ("fromDate=yesterday", "fromDate"),
        ("toDate=2026-02-30", "toDate"),
        ("page=0", "page"),
        ("limit=0", "limit"),
    ] {
        let answer = scene.world.get_as(&scene.provider.user, &format!("/provider/jobs?{query}")).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], named);
    }
    let all = "/provider/jobs?status=x&fromDate=x&toDate=x&page=0&limit=0";
    let answer = scene.world.get_as(&scene.provider.user, all).await.expect(400);
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(5));
    let none = scene.world.get_as(&other.user, "/provider/jobs").await.expect(200);
    assert_eq!((&none["data"], &none["pagination"]["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn the_dashboard_counts_what_there_is_to_do() {
    let scene = Scene::start().await;
    let other = scene.world.provider("House cleaning").await;
    let empty = json!({
        "summary": {"totalJobs": 0, "totalEarnings": 0, "averageRating": 0.0, "warnings": 0, "lastAvailabilityConfirmedAt": null},
        "jobs": {"new": 0, "in_progress": 0, "completed": 0, "paid": 0, "cancelled": 0, "rejected_by_sp": 0},
        "pendingActions": {"newJobRequests": 0, "jobsToComplete": 0, "paymentsToMark": 0},
        "recentJobs": [], "recentFeedback": [],
    });
    assert_eq!(scene.get("/provider/dashboard").await, empty);

    let mut jobs = Vec::new();
    for status in ["paid", "paid", "cancelled", "rejected_by_sp", "new", "new", "in_progress", "completed"] {
        let (id, _) = scene.job("status = 'cancelled'").await;
        jobs.push((id, status));
    }
    for (id, status) in &jobs {
        scene.world.sql(&format!("update stm.jobs set status = '{status}' where id = {id}")).await;
    }
    let (reviewed, accepted, newest) = (jobs[0].0, jobs[4].0, jobs[7].0);
    scene
        .world
        .sql(&format!(
            "update stm.jobs set sp_accepted = true where id = {accepted};
             update stm.jobs set scheduled_at = '2030-04-01 10:00Z' where id = {newest};
             update stm.providers set total_jobs = 2, earnings_cents = 24100, rating = 4, warnings = 1 where id = {0};
             insert into stm.reviews (job_id, customer_id, provider_id, rating, feedback)
             select id, customer_id, provider_id, 4, 'fine' from stm.jobs where id = {reviewed};",
            scene.provider.id
        ))
        .await;
    let dashboard = scene.get("/provider/dashboard").await;
    assert_eq!(
        dashboard["summary"],
        json!({"totalJobs": 2, "totalEarnings": 241, "averageRating": 4.0, "warnings": 1, "lastAvailabilityConfirmedAt": null})
    );
    assert_eq!(
        dashboard["jobs"],
        json!({"new": 2, "in_progress": 1, "completed": 1, "paid": 2, "cancelled": 1, "rejected_by_sp": 1})
    );
    assert_eq!(dashboard["pendingActions"], json!({"newJobRequests": 1, "jobsToComplete": 1, "paymentsToMark": 1}));
    let recent = dashboard["recentJobs"].as_array().expect("a list");
    assert_eq!(ids(&dashboard["recentJobs"]), jobs.iter().rev().take(5).map(|(id, _)| *id).collect::<Vec<_>>());
    assert_eq!(
        recent[0],
        json!({
            "id": newest, "service": "Plumbing", "customer": "Ann Archer", "status": "completed", "price": 120.5,
            "scheduledAt": "2030-04-01T10:00:00.000Z", "createdAt": recent[0]["createdAt"],
        })
    );
    let feedback = &dashboard["recentFeedback"];
    assert_eq!(
        *feedback,
        json!([{
            "id": feedback[0]["id"], "jobId": reviewed, "service": "Plumbing", "customer": "Ann Archer", "rating": 4,
            "feedback": "fine", "createdAt": feedback[0]["createdAt"],
        }])
    );
    assert_eq!(scene.world.get_as(&other.user, "/provider/dashboard").await.expect(200), empty);
}
