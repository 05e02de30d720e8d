//! Disputes, from the customer's complaint to the LSM's resolution.

use std::ops::Deref;

use serde_json::{Value, json};
use testing::world::{Answer, User};

use crate::support::{Booked, Scene};

/// A job that is done, and its region's LSM.
struct Done {
    booked: Booked,
    lsm: User,
}

impl Deref for Done {
    type Target = Booked;

    fn deref(&self) -> &Booked {
        &self.booked
    }
}

impl Done {
    async fn start() -> Self {
        let booked = Scene::booked().await;
        booked.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
        Self { lsm: booked.world.lsm().await, booked }
    }

    async fn dispute(&self, description: &str) -> Answer {
        let request = json!({"jobId": self.job, "description": description});
        self.customer_posts("/customers/disputes", &request).await
    }

    async fn lsm_gets(&self, path: &str) -> Answer {
        self.world.get_as(&self.lsm, &format!("/lsm/disputes{path}")).await
    }

    async fn lsm_does(&self, id: &Value, what: &str, request: &Value) -> Answer {
        self.world.post_as(&self.lsm, &format!("/lsm/disputes/{id}/{what}"), request).await
    }
}

#[tokio::test]
async fn an_lsm_joins_the_chat_settles_the_dispute_and_leaves() {
    let scene = Done::start().await;
    let filed = scene.dispute(" It still leaks ").await.expect(201);
    let id = filed["disputeId"].clone();
    assert!(id.is_i64() && filed["message"].is_string(), "{filed}");
    assert_eq!(scene.dispute("Again").await.expect(409)["code"], "dispute_open");
    assert_eq!(scene.notified(&scene.lsm).await.last().map(String::as_str), Some("New dispute"));
    assert_eq!(scene.notified(&scene.provider.user).await.last().map(String::as_str), Some("Job disputed"));

    let mut seen = scene.lsm_gets(&format!("/{id}")).await.expect(200);
    let history = seen["chatHistory"].take();
    assert_eq!(
        (&history[0]["senderType"], &history[0]["senderName"], &history[0]["messageType"]),
        (&json!("customer"), &json!("Ann Archer"), &json!("text"))
    );
    let details = json!({
        "dispute": {"id": id, "status": "pending", "raisedBy": "customer", "description": "It still leaks",
            "resolutionNotes": null, "createdAt": seen["dispute"]["createdAt"], "resolvedAt": null},
        "job": {"id": scene.job, "service": "Plumbing", "category": "Repairs", "status": "completed", "price": 120.5,
            "scheduledAt": null, "completedAt": seen["job"]["completedAt"]},
        "customer": {"name": "Ann Archer", "email": scene.customer.email, "phone": "+12125550123"},
        "provider": {"id": scene.provider.id, "businessName": "Pete's Pipes", "ownerName": "Pete Pipes",
            "email": scene.provider.user.email, "phone": "+12125550124"},
        "chatStatus": {"chatId": scene.chat, "lsmInvited": true, "lsmJoined": false},
        "chatHistory": null,
    });
    assert_eq!(seen, details);
    let listed = scene.lsm_gets("").await.expect(200)["data"][0].clone();
    for (part, of) in
        [("job", &listed["job"]), ("customer", &listed["customer"]), ("chatStatus", &listed["chatStatus"])]
    {
        assert_eq!(of, &details[part]);
    }
    assert_eq!((&listed["id"], &listed["raisedBy"]), (&id, &json!("customer")));

    let messages = format!("/chat/{}/messages", scene.chat);
    scene.world.get_as(&scene.lsm, &messages).await.expect(404);
    for _ in 0..2 {
        let joined = scene.lsm_does(&id, "join-chat", &json!({})).await.expect(200);
        assert_eq!(joined["chatId"], json!(scene.chat));
    }
    scene.world.get_as(&scene.lsm, &messages).await.expect(200);
    let seen = scene.lsm_gets(&format!("/{id}")).await.expect(200);
    assert_eq!((&seen["dispute"]["status"], &seen["chatStatus"]["lsmJoined"]), (&json!("under_review"), &json!(true)));
    for (status, count) in [("pending", 1), ("under_review", 1), ("resolved", 0)] {
        let page = scene.lsm_gets(&format!("?status={status}")).await.expect(200);
        assert_eq!(page["pagination"]["total"], count, "{status}");
    }

    let resolved =
        scene.lsm_does(&id, "resolve", &json!({"resolutionNotes": "A new seal on Monday"})).await.expect(200);
    assert_eq!(resolved, json!({"message": "Dispute resolved"}));
    scene.world.get_as(&scene.lsm, &messages).await.expect(404);
    scene.world.sql("insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
        select chat_id, seq + 1, sender_id, sender_type, 'After the LSM left' from stm.messages order by seq desc limit 1").await;
    let seen = scene.lsm_gets(&format!("/{id}")).await.expect(200);
    let resolved = &seen["dispute"];
    assert_eq!(
        (&resolved["status"], &resolved["resolutionNotes"], resolved["resolvedAt"].is_string()),
        (&json!("resolved"), &json!("A new seal on Monday"), true)
    );
    assert_eq!(seen["chatStatus"], json!({"chatId": scene.chat, "lsmInvited": false, "lsmJoined": false}));
    assert_eq!(seen["chatHistory"], history, "what was said while the LSM was there");
    assert_eq!(scene.notified(&scene.customer).await, ["Dispute resolved"]);
    let titles = scene.notified(&scene.provider.user).await;
    assert_eq!(titles[titles.len() - 2..], ["Job disputed", "Dispute resolved"]);
    for (what, request) in [("join-chat", json!({})), ("resolve", json!({"resolutionNotes": "Again"}))] {
        assert_eq!(scene.lsm_does(&id, what, &request).await.expect(409)["code"], "dispute_resolved");
    }
    let events = "select string_agg(action || ' ' || from_status || '>' || to_status, ', ' order by id)
                  from stm.job_events where action like '%dispute'";
    assert_eq!(scene.world.text(events).await, "dispute completed>completed, resolve_dispute completed>completed");

    // Another one, now that the first is settled.
    scene.dispute("It leaks elsewhere").await.expect(201);
}

#[tokio::test]
async fn disputes_are_listed_page_by_page() {
    let scene = Done::start().await;
    for at in 0..3 {
        let id = scene.dispute(&format!("Leak {at}")).await.expect(201)["disputeId"].clone();
        if at < 2 {
            scene.lsm_does(&id, "resolve", &json!({"resolutionNotes": "Mended"})).await.expect(200);
        }
    }
    for (query, descriptions, total) in [
        ("", vec!["Leak 2", "Leak 1", "Leak 0"], 3),
        ("?status=pending", vec!["Leak 2"], 1),
        ("?status=under_review", vec![], 0),
        ("?status=resolved&limit=1&page=2", vec!["Leak 0"], 2),
        ("?limit=1&page=9", vec![], 3),
    ] {
        let page = scene.lsm_gets(query).await.expect(200);
        let listed: Vec<_> =
            page["data"].as_array().expect("data").iter().map(|row| row["description"].clone()).collect();
        assert_eq!(
            (listed, &page["pagination"]["total"]),
            (descriptions.into_iter().map(Value::from).collect(), &json!(total)),
            "{query}"
        );
    }
    for (query, field) in [("?status=lost", "status"), ("?limit=0", "limit"), ("?page=0", "page")] {
        assert_eq!(scene.lsm_gets(query).await.expect(400)["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn only_jobs_that_are_done_are_disputed_and_by_their_customer() {
    let scene = Done::start().await;
    for state in ["new", "in_progress", "cancelled", "rejected_by_sp"] {
        scene.world.sql(&format!("update stm.jobs set status = '{state}'")).await;
        assert_eq!(scene.dispute("It leaks").await.expect(409)["code"], "wrong_state", "{state}");
    }
    scene.world.sql("update stm.jobs set status = 'paid'").await;
    let stranger = scene.world.customer().await;
    let request = json!({"jobId": scene.job, "description": "It leaks"});
    scene.world.post_as(&stranger, "/customers/disputes", &request).await.expect(404);
    for (request, field) in [
        (json!({"description": "It leaks"}), "jobId"),
        (json!({"jobId": "x", "description": "It leaks"}), "jobId"),
        (json!({"jobId": 1}), "description"),
        (json!({"jobId": 1, "description": " "}), "description"),
        (json!({"jobId": 1, "description": "x".repeat(4001)}), "description"),
    ] {
        let refused = scene.customer_posts("/customers/disputes", &request).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{request}");
    }
    let id = scene.dispute("It leaks").await.expect(201)["disputeId"].clone();
    let refused = scene.lsm_does(&id, "resolve", &json!({})).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "resolutionNotes");
    // The chat was closed in the meantime.
    scene.world.sql("update stm.chats set closed_at = now()").await;
    assert_eq!(scene.lsm_does(&id, "join-chat", &json!({})).await.expect(409)["code"], "chat_closed");

    // Nor by an LSM who is one no more.
    scene.world.sql("update stm.local_service_managers set status = 'inactive'").await;
    scene.lsm_gets(&format!("/{id}")).await.expect(404);
    scene.lsm_does(&id, "resolve", &json!({"resolutionNotes": "Mended"})).await.expect(404);
    assert_eq!(scene.lsm_gets("").await.expect(200)["data"], json!([]));
}
