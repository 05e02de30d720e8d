//! What the two parties do with a job, from its request to its payment.

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use testing::world::{Answer, Provider};

use crate::support::{Booked, Scene};

impl Booked {
    async fn customer_does(&self, request: &Value) -> Answer {
        self.customer_posts(&format!("/customers/jobs/{}/action", self.job), request).await
    }

    async fn provider_says(&self, request: &Value) -> Answer {
        self.provider_posts(&format!("/provider/jobs/{}/respond", self.job), request).await
    }

    async fn provider_marks(&self, request: &Value) -> Answer {
        self.provider_posts(&format!("/provider/jobs/{}/update-status", self.job), request).await
    }

    async fn provider_sees(&self) -> Value {
        self.world.get_as(&self.provider.user, &format!("/provider/jobs/{}", self.job)).await.expect(200)
    }

    async fn reassign_to(&self, provider: &Provider, more: &[(&str, Value)]) -> Answer {
        let mut request = json!({"newProviderId": provider.id});
        for (field, value) in more {
            request[*field] = value.clone();
        }
        self.customer_posts(&format!("/jobs/{}/reassign", self.job), &request).await
    }

    async fn resend(&self) -> Answer {
        self.customer_posts(&format!("/jobs/{}/resend", self.job), &json!({})).await
    }

    async fn set(&self, columns: &str) {
        self.world.sql(&format!("update stm.jobs set {columns} where id = {}", self.job)).await;
    }

    async fn lines(&self) -> Vec<String> {
        self.messages().await.iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The audit rows: action, from, to.
    async fn events(&self) -> String {
        self.world
            .text(&format!(
                "select string_agg(action || ' ' || coalesce(from_status, '-') || '>' || to_status, ', ' order by id)
                 from stm.job_events where job_id = {}",
                self.job
            ))
            .await
    }
}

fn actions(of: &Value) -> Vec<&str> {
    let actions = of["actions"].as_object().expect("actions");
    actions.iter().filter(|(_, may)| **may == json!(true)).map(|(action, _)| action.as_str()).collect()
}

#[tokio::test]
async fn a_job_goes_from_request_to_payment() {
    let scene = Scene::booked().await;
    assert_eq!(actions(&scene.customer_sees().await), ["canCancel", "canResend"]);
    assert_eq!(actions(&scene.provider_sees().await), <[&str; 0]>::default());

    let accepted = scene.provider_says(&json!({"action": "accept"})).await.expect(200);
    let message = accepted["message"].clone();
    assert_eq!(
        accepted,
        json!({"jobId": scene.job, "status": "new", "action": "accept", "spAccepted": true, "message": message})
    );
    assert_eq!(actions(&scene.customer_sees().await), ["canCancel", "canCloseDeal"]);
    let closed = scene.customer_does(&json!({"action": "close_deal"})).await.expect(200);
    assert_eq!(closed, json!({"message": "Deal closed: the job is in progress"}));
    assert_eq!(actions(&scene.customer_sees().await), ["canCancel"]);
    assert_eq!(actions(&scene.provider_sees().await), ["canMarkComplete"]);

    let completed = scene.provider_marks(&json!({"action": "mark_complete"})).await.expect(200);
    assert_eq!((&completed["jobId"], &completed["status"]), (&json!(scene.job), &json!("completed")));
    let seen = scene.provider_sees().await;
    assert_eq!(actions(&seen), ["canMarkPayment"]);
    assert_eq!(
        seen["payment"],
        json!({"amount": 120.5, "status": "pending", "method": null, "markedAt": null, "notes": null})
    );
    let payment = json!({"action": "mark_payment", "paymentDetails": {"method": "cash", "notes": "In full"}});
    assert_eq!(scene.provider_marks(&payment).await.expect(200)["status"], "paid");

    let seen = scene.customer_sees().await;
    assert_eq!(actions(&seen), ["canGiveFeedback"]);
    assert_eq!(
        (&seen["payment"]["amount"], &seen["payment"]["status"], &seen["payment"]["method"]),
        (&json!(120.5), &json!("received"), &json!("cash"))
    );
    assert_eq!((&seen["payment"]["notes"], &seen["job"]["paidAt"]), (&json!("In full"), &seen["payment"]["markedAt"]));
    assert!(seen["payment"]["markedAt"].is_string() && seen["job"]["completedAt"].is_string(), "{seen}");
    let money = format!("select earnings_cents * 100 + total_jobs from stm.providers where id = {}", scene.provider.id);
    assert_eq!(scene.world.number(&money).await, 12_050 * 100 + 1, "the price and the job, once");
    assert_eq!(
        scene.events().await,
        "book ->new, accept new>new, close_deal new>in_progress, mark_complete in_progress>completed, mark_payment completed>paid"
    );
    assert_eq!(scene.notified(&scene.customer).await, ["Job accepted", "Job completed", "Payment received"]);
    assert_eq!(scene.notified(&scene.provider.user).await, ["New job request", "Deal closed", "Payment received"]);
    assert_eq!(scene.lines().await[1..], ["I have accepted your request for Plumbing."]);
}

#[tokio::test]
async fn each_party_sees_the_job_and_the_other() {
    let scene = Scene::booked().await;
    let mut seen = scene.customer_sees().await;
    for time in ["createdAt", "responseDeadline"] {
        assert!(seen["job"][time].take().is_string(), "{time}");
    }
    let job = json!({
        "id": scene.job, "service": "Plumbing", "category": "Repairs", "status": "new", "price": 120.5,
        "originalAnswers": {"Rooms": "3", "requires_in_person_visit": false}, "editedAnswers": null,
        "spAccepted": false, "pendingApproval": false, "offer": null, "location": "1 Main Street", "images": [],
        "scheduledAt": null, "completedAt": null, "paidAt": null, "createdAt": null, "responseDeadline": null,
    });
    assert_eq!(
        seen,
        json!({
            "job": job, "payment": null, "chatId": scene.chat,
            "provider": {"id": scene.provider.id, "businessName": "Pete's Pipes", "ownerName": "Pete Pipes",
                "phone": "+12125550124", "rating": 0.0, "location": null},
            "actions": {"canApproveEdits": false, "canCloseDeal": false, "canCancel": true, "canGiveFeedback": false,
                "canResend": true, "isExpired": false},
        })
    );
    let mut seen = scene.provider_sees().await;
    for time in ["createdAt", "responseDeadline"] {
        assert!(seen["job"][time].take().is_string(), "{time}");
    }
    assert_eq!(
        seen,
        json!({
            "job": job, "payment": null, "chatId": scene.chat,
            "customer": {"name": "Ann Archer", "phone": "+12125550123", "address": "1 Main Street"},
            "actions": {"canMarkComplete": false, "canMarkPayment": false},
        })
    );
    scene.set("response_deadline = now() - interval '1 second'").await;
    assert_eq!(actions(&scene.customer_sees().await), ["canCancel", "canResend", "isExpired"]);
}

#[tokio::test]
async fn an_offer_changes_the_job_when_the_customer_approves_it() {
    let scene = Scene::booked().await;
    let date = (Utc::now() + Duration::days(9)).format("%Y-%m-%dT10:00:00.000Z").to_string();
    let offer = json!({"action": "negotiate", "negotiation": {
        "editedAnswers": {"Rooms": "4"}, "editedPrice": 150, "editedSchedule": date, "notes": "One more room"}});
    let offered = scene.provider_says(&offer).await.expect(200);
    assert_eq!((&offered["pendingApproval"], &offered["status"]), (&json!(true), &json!("new")));
    let seen = scene.customer_sees().await;
    assert_eq!(actions(&seen), ["canApproveEdits", "canCancel"], "no deadline runs");
    let proposed = &seen["job"]["editedAnswers"];
    let at = &seen["job"]["offer"]["created_at"];
    assert_eq!(
        proposed,
        &json!({"price": 150, "schedule": date, "notes": "One more room", "answers": "Rooms: 4", "proposedAt": at})
    );
    assert_eq!((&seen["job"]["originalAnswers"]["Rooms"], &seen["job"]["price"]), (&json!("3"), &json!(120.5)));
    assert_eq!(seen["job"]["offer"]["proposed_price"], 150);
    assert_eq!(&scene.provider_sees().await["job"]["editedAnswers"], proposed);
    assert_eq!(
        scene.customer_does(&json!({"action": "approve_edits"})).await.expect(200),
        json!({"message": "Changes approved"})
    );
    let seen = scene.customer_sees().await;
    assert_eq!(
        (&seen["job"]["price"], &seen["job"]["scheduledAt"], &seen["job"]["spAccepted"], &seen["job"]["editedAnswers"]),
        (&json!(150), &json!(date), &json!(true), &json!({"Rooms": "4"}))
    );
    let again = scene.customer_does(&json!({"action": "approve_edits"})).await;
    assert_eq!(again.expect(409)["code"], "wrong_state");
}

/// Whoever names an offer does not accept another one that came in between.
#[tokio::test]
async fn an_offer_that_was_replaced_is_not_taken_for_the_new_one() {
    let scene = Scene::booked().await;
    let offer = async |price: i64| {
        let request = json!({"job_id": scene.job, "proposed_price": price});
        let sent = scene.customer_posts("/chat/negotiation/send-offer", &request).await.expect(201);
        sent["offer"]["id"].clone()
    };
    let (good, bad) = (offer(500).await, offer(1).await);
    let respond = async |id: &Value| {
        let request = json!({"job_id": scene.job, "action": "accept", "offer_id": id});
        scene.provider_posts("/chat/negotiation/respond", &request).await
    };
    assert_eq!(respond(&good).await.expect(409)["code"], "offer_changed");
    let accept = json!({"action": "accept", "offerId": good});
    assert_eq!(scene.provider_says(&accept).await.expect(409)["code"], "offer_changed");
    respond(&bad).await.expect(201);

    let counter = json!({"action": "negotiate", "negotiation": {"editedPrice": 300, "editedAnswers": [{"question": "Rooms", "answer": 4}, "Bring a ladder"]}});
    scene.provider_says(&counter).await.expect(200);
    let approve = |id: &Value| json!({"action": "approve_edits", "offerId": id});
    assert_eq!(scene.customer_does(&approve(&bad)).await.expect(409)["code"], "offer_changed");
    let seen = scene.customer_sees().await;
    scene.customer_does(&approve(&seen["job"]["offer"]["id"])).await.expect(200);
    let lines = scene.lines().await;
    assert!(lines.iter().any(|line| line.ends_with("$300.00\nRooms: 4\nBring a ladder")), "{lines:?}");
}

/// Each accepted offer adds its answers to those before; a line in the chat is never longer than a message may be.
#[tokio::test]
async fn accepted_answers_add_up() {
    let scene = Scene::booked().await;
    for answers in [json!({"Rooms": "4"}), json!({"Windows": "x".repeat(5000)})] {
        let offer = json!({"action": "negotiate", "negotiation": {"editedAnswers": answers}});
        scene.provider_says(&offer).await.expect(200);
        scene.customer_does(&json!({"action": "approve_edits"})).await.expect(200);
    }
    let seen = scene.customer_sees().await;
    assert_eq!(seen["job"]["editedAnswers"], json!({"Rooms": "4", "Windows": "x".repeat(5000)}));
    let lengths: Vec<_> = scene.lines().await.iter().map(|line| line.chars().count()).collect();
    assert!(lengths.iter().all(|chars| *chars <= 4000), "{lengths:?}");
}

#[tokio::test]
async fn a_job_whose_date_has_passed_needs_a_new_one_for_another_provider() {
    let scene = Scene::booked().await;
    let other = scene.world.provider("Plumbing").await;
    scene.set("status = 'rejected_by_sp', scheduled_at = now() - interval '3 days'").await;
    assert_eq!(scene.reassign_to(&other, &[]).await.expect(400)["errors"][0]["field"], "preferredDate");
    let date = (Utc::now() + Duration::days(5)).format("%Y-%m-%dT09:00:00.000Z").to_string();
    scene.reassign_to(&other, &[("preferredDate", json!(date))]).await.expect(201);
    let history = scene.world.get_as(&scene.customer, &format!("/chat/negotiation/job/{}/history", scene.job)).await;
    assert_eq!(history.expect(200)["original_date"], json!(date));
}

/// Of two processes one may have a faster clock: the chat that was opened last is the job's, whatever the time in its id.
#[tokio::test]
async fn the_last_chat_is_the_present_one_whatever_the_clocks_say() {
    let scene = Scene::booked().await;
    let of_a_faster_clock = "insert into stm.chats (id, job_id, closed_at)
        select overlay(id::text placing 'ffff' from 1 for 4)::uuid, job_id, now() from stm.chats where job_id";
    scene.world.sql(&format!("{of_a_faster_clock} = {}", scene.job)).await;
    for _ in 0..2 {
        let other = scene.world.provider("Plumbing").await;
        let given = scene.reassign_to(&other, &[]).await.expect(201);
        assert_eq!(scene.customer_sees().await["chatId"], given["chat"]["id"]);
    }
}

#[tokio::test]
async fn a_rejected_job_keeps_its_chat_closed() {
    let scene = Scene::booked().await;
    let rejected = scene.provider_says(&json!({"action": "reject", "reason": "On holiday"})).await.expect(200);
    assert_eq!(
        (&rejected["status"], &rejected["reason"], &rejected["action"]),
        (&json!("rejected_by_sp"), &json!("On holiday"), &json!("reject"))
    );
    assert_eq!(scene.lines().await.len(), 1, "the chat is still there");
    assert_eq!(scene.world.number("select count(*) from stm.chats where closed_at is not null").await, 1);
    assert_eq!(scene.notified(&scene.customer).await, ["Job declined"]);
    let message = scene.world.text("select message from stm.notifications where title = 'Job declined'").await;
    assert!(message.contains("On holiday"), "{message}");
}

#[tokio::test]
async fn a_late_cancellation_costs_a_fee() {
    let scene = Scene::booked().await;
    scene.set("status = 'in_progress', price_cents = 10001, scheduled_at = now() + interval '95 hours'").await;
    let cancelled = scene.customer_does(&json!({"action": "cancel", "cancellationReason": "Moved"})).await.expect(200);
    assert_eq!((&cancelled["cancellationFee"], &cancelled["canReschedule"]), (&json!(25), &json!(false)));
    let seen = scene.customer_sees().await;
    assert_eq!(
        seen["payment"],
        json!({"amount": 25, "status": "pending", "method": null, "markedAt": null, "notes": null})
    );
    assert_eq!(seen["job"]["status"], "cancelled");
    let paid = "select count(*) from stm.payments where kind = 'cancellation_fee' and amount_cents = 2500";
    assert_eq!(scene.world.number(paid).await, 1);

    scene.world.sql("delete from stm.payments").await;
    scene.set("status = 'new', scheduled_at = now() + interval '97 hours'").await;
    let cancelled = scene.customer_does(&json!({"action": "cancel"})).await.expect(200);
    assert_eq!((&cancelled["cancellationFee"], &cancelled["canReschedule"]), (&json!(0), &json!(true)));
    assert_eq!(scene.world.number("select count(*) from stm.payments").await, 0);
    assert_eq!(scene.notified(&scene.provider.user).await[1..], ["Job cancelled", "Job cancelled"]);
}

#[tokio::test]
async fn another_provider_gets_the_job_and_a_new_chat() {
    let scene = Scene::booked().await;
    let other = scene.world.provider("Plumbing").await;
    let elsewhere = scene.world.provider("House cleaning").await;
    let away = scene.world.provider("Plumbing").await;
    scene.world.sql(&format!("update stm.providers set status = 'inactive' where id = {}", away.id)).await;
    scene
        .world
        .sql(&format!(
            "update stm.providers set first_message_template = 'Hi [CUSTOMER_NAME]', rating = 4.5 where id = {}",
            other.id
        ))
        .await;

    let path = format!("/jobs/{}/alternative-providers", scene.job);
    let found = scene.world.get_as(&scene.customer, &path).await.expect(200);
    assert_eq!(
        found,
        json!({
            "service": {"id": scene.provider.service_id, "name": "Plumbing", "category": "Repairs"}, "zipcode": "10001",
            "totalMatches": 1,
            "providers": [{
                "id": other.id, "businessName": "Pete's Pipes", "ownerName": "Pete Pipes", "rating": 4.5, "totalJobs": 0,
                "experience": 0, "location": "New York", "minPrice": 80, "maxPrice": 250.5,
                "serviceAreas": ["10001", "10002"],
            }],
        })
    );

    for (target, status, code) in [
        (&scene.provider, 409, "same_provider"),
        (&elsewhere, 400, "service_not_offered"),
        (&away, 400, "provider_not_active"),
        (&Provider { id: 999_999, ..other.clone() }, 404, "not_found"),
    ] {
        assert_eq!(scene.reassign_to(target, &[]).await.expect(status)["code"], code);
    }
    scene.provider_says(&json!({"action": "accept"})).await.expect(200);
    let date = (Utc::now() + Duration::days(5)).format("%Y-%m-%dT09:00:00.000Z").to_string();
    let given =
        scene.reassign_to(&other, &[("customerBudget", json!(99)), ("preferredDate", json!(date))]).await.expect(201);
    assert_eq!(
        (&given["job"]["id"], &given["job"]["status"], &given["job"]["scheduled_at"]),
        (&json!(scene.job), &json!("new"), &json!(date))
    );
    let seen = scene.customer_sees().await;
    assert_eq!(
        (&seen["provider"]["id"], &seen["job"]["price"], &seen["job"]["spAccepted"], &seen["chatId"]),
        (&json!(other.id), &json!(99), &json!(false), &given["chat"]["id"])
    );
    assert_eq!(scene.lines().await.len(), 2, "the old chat is kept");
    let open = "select count(*) from stm.chats where closed_at is null";
    assert_eq!(scene.world.number(open).await, 1);
    let lines = scene
        .world
        .get_as(&other.user, &format!("/chat/{}/messages", given["chat"]["id"].as_str().expect("an id")))
        .await;
    assert_eq!(lines.expect(200)["messages"][1]["message"], "Hi Ann Archer");

    // The provider who had it before is notified, and can do nothing more with it.
    assert_eq!(scene.notified(&scene.provider.user).await, ["New job request", "Job given to another provider"]);
    assert_eq!(scene.notified(&other.user).await, ["New job request"]);
    assert_eq!(scene.provider_says(&json!({"action": "accept"})).await.expect(409)["code"], "job_reassigned");
    scene.world.get_as(&scene.provider.user, &format!("/provider/jobs/{}", scene.job)).await.expect(404);
}

#[tokio::test]
async fn a_request_is_sent_again() {
    let scene = Scene::booked().await;
    scene.set("response_deadline = now() - interval '1 hour', deadline_missed_at = now()").await;
    let resent = scene.resend().await.expect(201);
    assert!(resent["responseDeadline"].is_string() && resent["message"].is_string(), "{resent}");
    assert_eq!((&resent["jobId"], &resent["status"]), (&json!(scene.job), &json!("new")));
    let renewed = "select count(*) from stm.jobs where response_deadline > now() + interval '59 minutes' and deadline_missed_at is null";
    assert_eq!(scene.world.number(renewed).await, 1);
    assert_eq!(scene.notified(&scene.provider.user).await, ["New job request", "Job request sent again"]);
    scene.provider_says(&json!({"action": "accept"})).await.expect(200);
    assert_eq!(scene.resend().await.expect(409)["code"], "wrong_state");
}

/// Every action in every state: it works, or 409 names the job's state and what is possible.
#[tokio::test]
async fn whatever_the_state_does_not_allow_is_refused() {
    let scene = Scene::booked().await;
    let other = scene.world.provider("Plumbing").await;
    for state in ["in_progress", "completed", "paid", "cancelled", "rejected_by_sp"] {
        scene.set(&format!("status = '{state}'")).await;
        let allowed = |action| match action {
            "cancel" | "mark_complete" => state == "in_progress",
            "mark_payment" => state == "completed",
            "reassign" => state == "rejected_by_sp",
            _ => false,
        };
        for action in [
            "approve_edits",
            "close_deal",
            "cancel",
            "accept",
            "reject",
            "negotiate",
            "mark_complete",
            "mark_payment",
            "reassign",
            "resend",
        ] {
            if allowed(action) {
                continue;
            }
            let request = json!({"action": action, "negotiation": {"editedPrice": 1}});
            let refused = match action {
                "approve_edits" | "close_deal" | "cancel" => scene.customer_does(&request).await,
                "accept" | "reject" | "negotiate" => scene.provider_says(&request).await,
                "reassign" => scene.reassign_to(&other, &[]).await,
                "resend" => scene.resend().await,
                _ => scene.provider_marks(&request).await,
            };
            let refused = refused.expect(409);
            assert_eq!(refused["code"], "wrong_state", "{action} in {state}");
            let in_words = state.trim_end_matches("_by_sp").replace('_', " ");
            let message = refused["message"].as_str().expect("a sentence");
            assert!(
                message.contains(&in_words) && message.contains("Possible for you now: "),
                "{action} in {state}: {message}"
            );
        }
    }
    assert_eq!(scene.events().await, "book ->new", "nothing was done");
    assert_eq!(scene.notified(&scene.customer).await, <[&str; 0]>::default());
}

#[tokio::test]
async fn bad_fields_are_named() {
    let scene = Scene::booked().await;
    let long = "x".repeat(1001);
    let named = |answer: Answer| {
        let body = answer.expect(400);
        body["errors"][0]["field"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    };
    for (request, field) in [
        (json!({"action": "explode"}), "action"),
        (json!({"action": "cancel", "cancellationReason": long}), "cancellationReason"),
    ] {
        assert_eq!(named(scene.customer_does(&request).await), field);
    }
    for (request, field) in [
        (json!({"action": "explode"}), "action"),
        (json!({"action": "reject", "reason": long}), "reason"),
        (json!({"action": "negotiate"}), "negotiation"),
        (json!({"action": "negotiate", "negotiation": {"editedPrice": -1}}), "negotiation.editedPrice"),
        (json!({"action": "negotiate", "negotiation": {"editedSchedule": "soon"}}), "negotiation.editedSchedule"),
        (json!({"action": "negotiate", "negotiation": {"notes": long}}), "negotiation.notes"),
        (json!({"action": "negotiate", "negotiation": {"editedAnswers": 3}}), "negotiation.editedAnswers"),
    ] {
        assert_eq!(named(scene.provider_says(&request).await), field);
    }
    assert_eq!(
        scene.provider_says(&json!({"action": "negotiate", "negotiation": {}})).await.expect(400)["code"],
        "empty_offer"
    );
    for (request, field) in [
        (json!({"action": "explode"}), "action"),
        (json!({"action": "mark_payment", "paymentDetails": {"method": "shells"}}), "paymentDetails.method"),
        (
            json!({"action": "mark_payment", "paymentDetails": {"method": "cash", "notes": long}}),
            "paymentDetails.notes",
        ),
    ] {
        assert_eq!(named(scene.provider_marks(&request).await), field);
    }
    let provider = scene.provider.clone();
    for (field, value) in [
        ("preferredDate", json!("soon")),
        ("preferredDate", json!("2001-01-01")),
        ("customerBudget", json!(-1)),
        ("newProviderId", json!(null)),
        ("newProviderId", json!("x")),
    ] {
        assert_eq!(named(scene.reassign_to(&provider, &[(field, value)]).await), field);
    }
    // An id that is no number is nobody's.
    scene.world.get_as(&scene.customer, "/customers/jobs/x").await.expect(400);
}
