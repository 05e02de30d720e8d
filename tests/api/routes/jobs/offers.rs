//! Offers over REST: exact shapes, refusals, who may answer; and that the socket's offers are the same rows.

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use testing::socket_io::{Client, nowhere};
use testing::world::{Answer, Provider, User};

use crate::support::{Booked, Scene};

impl Booked {
    async fn send_offer(&self, who: &User, fields: Value) -> Answer {
        self.world.post_as(who, "/chat/negotiation/send-offer", &self.about_the_job(fields)).await
    }

    async fn respond(&self, who: &User, fields: Value) -> Answer {
        self.world.post_as(who, "/chat/negotiation/respond", &self.about_the_job(fields)).await
    }

    fn about_the_job(&self, mut fields: Value) -> Value {
        if fields["job_id"].is_null() {
            fields["job_id"] = json!(self.job);
        }
        fields
    }

    async fn history(&self, who: &User) -> Answer {
        self.world.get_as(who, &format!("/chat/negotiation/job/{}/history", self.job)).await
    }

    async fn offers(&self) -> Vec<Value> {
        self.history(&self.customer).await.expect(200)["offers"].as_array().expect("offers").clone()
    }

    /// What became of each offer, oldest first.
    async fn fates(&self) -> Vec<String> {
        let of_offer = |offer: &Value| format!("{} {}", text(&offer["offered_by"]), text(&offer["status"]));
        self.offers().await.iter().map(of_offer).collect()
    }

    async fn terms(&self) -> (Value, Value, Value, Value) {
        let job = &self.customer_sees().await["job"];
        (job["price"].clone(), job["scheduledAt"].clone(), job["spAccepted"].clone(), job["pendingApproval"].clone())
    }

    /// The last line of the chat, and how many there are.
    async fn last_line(&self) -> (i64, String, String) {
        let lines = self.messages().await;
        let line = lines.last().expect("a line");
        (line["seq"].as_i64().expect("seq"), text(&line["sender_type"]), text(&line["message"]))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// A date as clients send it, and as they get it back.
fn in_days(days: i64) -> (String, Value) {
    let day = (Utc::now() + Duration::days(days)).format("%Y-%m-%d");
    (format!("{day}T09:30:00Z"), json!(format!("{day}T09:30:00.000Z")))
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z'))
}

#[tokio::test]
async fn an_offer_is_a_row_a_line_and_a_notification() {
    let scene = Scene::booked().await;
    let Scene { customer, provider: Provider { user: provider, .. }, .. } = &*scene;
    let (date, date_back) = in_days(5);
    let fields = json!({
        "proposed_price": 99.95, "proposed_date": date, "notes": "  Two visits  ",
        "status": "accepted", "offered_by": "customer", "answers": {"Rooms": 9},
    });
    let sent = scene.send_offer(provider, fields).await.expect(201);
    let offer = sent["offer"].clone();
    assert_eq!(sent, json!({"success": true, "message": "Offer sent successfully", "offer": offer}));
    assert!(offer["id"].is_i64() && is_time(&offer["created_at"]), "{offer}");
    let expected = json!({
        "id": offer["id"], "job_id": scene.job, "offered_by": "service_provider", "proposed_price": 99.95,
        "proposed_date": date_back, "notes": "Two visits", "answers": null, "status": "pending",
        "created_at": offer["created_at"], "answered_at": null,
    });
    assert_eq!(offer, expected, "forbidden fields have no effect");

    let (seq, side, line) = scene.last_line().await;
    assert_eq!((seq, side.as_str()), (2, "service_provider"));
    assert!(line.starts_with("New offer: $99.95, ") && line.ends_with("\nTwo visits"), "{line}");
    assert_eq!(scene.notified(customer).await, ["New offer"]);
    assert_eq!(scene.notified(provider).await, ["New job request"]);
    assert_eq!(
        scene.terms().await,
        (json!(120.5), Value::Null, json!(false), json!(true)),
        "not before it is accepted"
    );

    let mut current = offer.clone();
    current["offered_by_name"] = json!("Pete's Pipes");
    current["original_price"] = json!(120.5);
    current["original_date"] = Value::Null;
    let history = json!({
        "job_id": scene.job, "current_status": "awaiting_response", "current_offer": current, "original_price": 120.5,
        "original_date": null, "offers": [offer],
    });
    assert_eq!(scene.history(customer).await.expect(200), history);
    assert_eq!(scene.history(provider).await.expect(200), history);
}

#[tokio::test]
async fn what_is_accepted_becomes_the_jobs_terms() {
    let scene = Scene::booked().await;
    let Scene { customer, provider: Provider { user: provider, .. }, .. } = &*scene;
    let before = json!({"job_id": scene.job, "current_status": "no_active_negotiation", "current_offer": null, "original_price": 120.5, "original_date": null, "offers": []});
    assert_eq!(scene.history(customer).await.expect(200), before);

    let (date, date_back) = in_days(6);
    scene.send_offer(customer, json!({"proposed_price": 90, "proposed_date": date})).await.expect(201);
    let accepted = scene.respond(provider, json!({"action": "accept"})).await.expect(201);
    assert_eq!(accepted, json!({"success": true, "message": "Offer accepted", "action": "accept"}));
    assert_eq!(scene.terms().await, (json!(90), date_back.clone(), json!(true), json!(false)));
    let (_, side, line) = scene.last_line().await;
    assert_eq!(side, "service_provider");
    assert!(line.starts_with("I accept the offer: $90.00, "), "{line}");
    assert_eq!(scene.notified(customer).await, ["Offer accepted"]);
    let after = scene.history(provider).await.expect(200);
    assert_eq!((&after["current_offer"], &after["original_price"]), (&Value::Null, &json!(120.5)));
    assert!(is_time(&after["offers"][0]["answered_at"]), "{after}");

    // What an offer does not mention stays.
    scene.send_offer(provider, json!({"proposed_price": 95})).await.expect(201);
    scene.respond(customer, json!({"action": "accept"})).await.expect(201);
    assert_eq!(scene.terms().await, (json!(95), date_back, json!(true), json!(false)));
    assert_eq!(scene.fates().await, ["customer accepted", "service_provider accepted"]);
}

#[tokio::test]
async fn an_offer_is_declined_countered_or_overtaken() {
    let scene = Scene::booked().await;
    let Scene { customer, provider: Provider { user: provider, .. }, .. } = &*scene;
    let unchanged = (json!(120.5), Value::Null, json!(false), json!(false));

    scene.send_offer(provider, json!({"notes": "Could it be next week?"})).await.expect(201);
    let declined = scene.respond(customer, json!({"action": "decline"})).await.expect(201);
    assert_eq!(declined, json!({"success": true, "message": "Offer declined", "action": "decline"}));
    assert_eq!(scene.terms().await, unchanged);
    assert_eq!(scene.last_line().await, (3, "customer".into(), "I decline the offer.".into()));

    scene.send_offer(provider, json!({"proposed_price": 150})).await.expect(201);
    let counter = json!({"action": "counter", "counter_proposed_price": 130, "counter_notes": "With parts"});
    let countered = scene.respond(customer, counter).await.expect(201);
    let offer = countered["offer"].clone();
    assert_eq!(
        countered,
        json!({"success": true, "message": "Counter-offer sent", "action": "counter", "offer": offer})
    );
    assert_eq!(
        (&offer["offered_by"], &offer["proposed_price"], &offer["notes"], &offer["status"]),
        (&json!("customer"), &json!(130), &json!("With parts"), &json!("pending"))
    );
    assert_eq!(scene.last_line().await, (5, "customer".into(), "Counter-offer: $130.00\nWith parts".into()));
    assert_eq!(scene.history(provider).await.expect(200)["current_offer"]["id"], offer["id"]);

    // A new offer of the same party withdraws its own, one of the other party's counters it.
    scene.send_offer(customer, json!({"proposed_price": 135})).await.expect(201);
    scene.send_offer(provider, json!({"proposed_price": 140})).await.expect(201);
    let fates = [
        "service_provider declined",
        "service_provider countered",
        "customer withdrawn",
        "customer countered",
        "service_provider pending",
    ];
    assert_eq!(scene.fates().await, fates);
    assert_eq!(
        scene.notified(customer).await,
        ["New offer", "New offer", "New offer"],
        "the customer is notified of the provider's actions alone"
    );
    assert_eq!(scene.notified(provider).await, ["New job request", "Offer declined", "Counter-offer", "New offer"]);
}

#[tokio::test]
async fn only_the_other_party_answers_and_only_once() {
    let scene = Scene::booked().await;
    let Scene { world, customer, provider: Provider { user: provider, .. }, .. } = &*scene;
    for (sender, other) in [(customer, provider), (provider, customer)] {
        for action in ["accept", "decline", "counter"] {
            let answer = json!({"action": action, "counter_proposed_price": 70});
            for nobody_asked in [sender, other] {
                let refused = scene.respond(nobody_asked, answer.clone()).await.expect(409);
                assert_eq!(refused["code"], "wrong_state", "without an offer: {action}");
            }
            scene.send_offer(sender, json!({"proposed_price": 80})).await.expect(201);
            let refused = scene.respond(sender, answer.clone()).await.expect(409);
            assert_eq!(refused["code"], "wrong_state", "one's own offer: {action}");
            scene.respond(other, answer.clone()).await.expect(201);
            let again = scene.respond(other, answer).await.expect(409);
            assert_eq!(again["code"], "wrong_state", "a second time: {action}");
            world.sql("update stm.offers set status = 'withdrawn', answered_at = now() where status = 'open'; update stm.jobs set pending_approval = false").await;
        }
    }
    let own = scene.send_offer(customer, json!({"proposed_price": 80})).await.expect(201);
    assert_eq!(own["offer"]["offered_by"], "customer");
    let approve = format!("/customers/jobs/{}/action", scene.job);
    let refused = world.post_as(customer, &approve, &json!({"action": "approve_edits"})).await.expect(409);
    assert_eq!(refused["code"], "wrong_state", "nor does approve_edits take one's own offer");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_answers_one_wins() {
    let scene = Scene::booked().await;
    for _ in 0..10 {
        let before = scene.offers().await.len();
        scene.send_offer(&scene.provider.user, json!({"proposed_price": 80})).await.expect(201);
        let actions = ["accept", "decline", "accept", "decline"];
        let answers = actions.map(|action| scene.respond(&scene.customer, json!({"action": action})));
        let mut statuses: Vec<_> =
            futures_util::future::join_all(answers).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
        assert_eq!(scene.offers().await.len(), before + 1);
    }
    let (seq, ..) = scene.last_line().await;
    assert_eq!(seq, 21, "a line for each offer and for each answer that won");
}

#[tokio::test]
async fn bad_fields_are_named_and_change_nothing() {
    let scene = Scene::booked().await;
    let Scene { customer, provider: Provider { user: provider, .. }, .. } = &*scene;
    scene.send_offer(provider, json!({"proposed_price": 80})).await.expect(201);
    let (far, past) = (in_days(800).0, "2020-01-01");
    let long = "x".repeat(1001);
    for (value, price, date, notes) in [
        (json!(-1), true, false, false),
        (json!(0.001), true, false, false),
        (json!("eighty"), true, false, false),
        (json!(10_000_001), true, false, false),
        (json!("soon"), false, true, false),
        (json!(past), false, true, false),
        (json!(far), false, true, false),
        (json!(5), false, true, true),
        (json!(long), false, false, true),
        (json!("a\u{0}b"), false, false, true),
    ] {
        for (is_bad, sent, countered) in [
            (price, "proposed_price", "counter_proposed_price"),
            (date, "proposed_date", "counter_proposed_date"),
            (notes, "notes", "counter_notes"),
        ] {
            if !is_bad {
                continue;
            }
            let body = scene.send_offer(customer, json!({sent: value})).await.expect(400);
            assert_eq!(body["errors"][0]["field"], sent, "{value}: {body}");
            let body = scene.respond(customer, json!({"action": "counter", countered: value})).await.expect(400);
            assert_eq!(body["errors"][0]["field"], countered, "{value}: {body}");
        }
    }
    let several = scene.send_offer(customer, json!({"proposed_date": past, "notes": long})).await.expect(400);
    let fields: Vec<_> = several["errors"].as_array().expect("errors").iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["proposed_date", "notes"], "all at once");

    for (path, body, field) in [
        ("send-offer", json!({"proposed_price": 80}), "job_id"),
        ("send-offer", json!({"job_id": "x", "proposed_price": 80}), "job_id"),
        ("respond", json!({"action": "accept"}), "job_id"),
        ("respond", json!({"job_id": 1, "action": "perhaps"}), "action"),
    ] {
        let body = scene.world.post_as(customer, &format!("/chat/negotiation/{path}"), &body).await.expect(400);
        assert_eq!(body["errors"][0]["field"], field, "{path}: {body}");
    }
    let body = scene.respond(customer, json!({})).await.expect(400);
    assert_eq!(body["message"], json!(["action is missing"]));

    for empty in [json!({}), json!({"notes": "   ", "proposed_date": ""}), json!({"proposed_price": null})] {
        assert_eq!(scene.send_offer(customer, empty).await.expect(400)["code"], "empty_offer");
    }
    let nothing = json!({"action": "counter", "proposed_price": 70, "notes": "not a counter's fields"});
    assert_eq!(scene.respond(customer, nothing).await.expect(400)["code"], "empty_offer");
    assert_eq!(scene.fates().await, ["service_provider pending"], "nothing has changed");
    assert_eq!(scene.last_line().await.0, 2);
}

#[tokio::test]
async fn a_stranger_finds_no_job() {
    let scene = Scene::booked().await;
    let Scene { world, customer, .. } = &*scene;
    scene.send_offer(customer, json!({"proposed_price": 80})).await.expect(201);
    let strangers =
        [world.customer().await, world.provider("House cleaning").await.user, world.lsm().await, world.admin().await];
    for stranger in &strangers {
        let answers = [
            scene.send_offer(stranger, json!({"proposed_price": 70})).await,
            scene.respond(stranger, json!({"action": "accept"})).await,
            scene.history(stranger).await,
        ];
        for answer in answers {
            assert_eq!(answer.expect(404)["code"], "not_found");
        }
    }
    for no_job in [json!(999_999), json!(0), json!(-1), json!(i64::MAX)] {
        let offer = json!({"job_id": no_job, "proposed_price": 70});
        assert_eq!(scene.send_offer(customer, offer).await.expect(404)["code"], "not_found", "{no_job}");
        let answer = scene.respond(customer, json!({"job_id": no_job, "action": "accept"})).await;
        assert_eq!(answer.expect(404)["code"], "not_found", "{no_job}");
        let history = world.get_as(customer, &format!("/chat/negotiation/job/{no_job}/history")).await;
        assert_eq!(history.expect(404)["code"], "not_found", "{no_job}");
    }
    assert_eq!(scene.fates().await, ["customer pending"]);
}

#[tokio::test]
async fn a_job_that_is_not_new_is_not_negotiated() {
    let scene = Scene::booked().await;
    let Scene { world, customer, provider: Provider { user: provider, .. }, .. } = &*scene;
    for status in ["in_progress", "completed", "paid", "cancelled", "rejected_by_sp"] {
        world.sql(&format!("update stm.jobs set status = '{status}'")).await;
        for party in [customer, provider] {
            let refused = scene.send_offer(party, json!({"proposed_price": 80})).await.expect(409);
            assert_eq!(refused["code"], "wrong_state", "{status}");
            let sentence = text(&refused["detail"]);
            let in_words = status.trim_end_matches("_by_sp").replace('_', " ");
            assert!(sentence.contains(&format!("the job is {in_words}")), "it says how the job stands: {sentence}");
            for action in ["accept", "decline", "counter"] {
                let answer = json!({"action": action, "counter_proposed_price": 70});
                assert_eq!(scene.respond(party, answer).await.expect(409)["code"], "wrong_state", "{status} {action}");
            }
            let history = scene.history(party).await.expect(200);
            assert_eq!(history["current_status"], "no_active_negotiation", "the history stays readable");
        }
    }
    world.sql("update stm.jobs set status = 'new'; update stm.chats set closed_at = now()").await;
    let refused = scene.send_offer(customer, json!({"proposed_price": 80})).await.expect(409);
    assert_eq!(refused["code"], "chat_closed", "nor in a closed chat");
    assert_eq!(scene.offers().await, [] as [Value; 0]);
    assert_eq!(scene.last_line().await.0, 1);
}

/// What happens to the job ends what waits for an answer; another provider never sees what was offered to the first.
#[tokio::test]
async fn an_offer_ends_with_its_job_and_belongs_to_its_chat() {
    let scene = Scene::booked().await;
    let Scene { world, customer, provider: Provider { user: provider, .. } } = &*scene;
    let job = scene.job;
    let next = world.provider("Plumbing").await;
    scene.send_offer(provider, json!({"proposed_price": 80})).await.expect(201);
    world.post_as(customer, &format!("/jobs/{job}/reassign"), &json!({"newProviderId": next.id})).await.expect(201);
    let fates = "select string_agg(offered_by || ' ' || status, ',' order by id) from stm.offers";
    assert_eq!(world.text(fates).await, "service_provider withdrawn");
    for party in [customer, &next.user] {
        let history = scene.history(party).await.expect(200);
        assert_eq!((&history["current_offer"], &history["offers"]), (&Value::Null, &json!([])));
    }
    scene.history(provider).await.expect(404);
    assert_eq!(scene.send_offer(provider, json!({"proposed_price": 1})).await.expect(409)["code"], "job_reassigned");
    assert_eq!(scene.respond(provider, json!({"action": "accept"})).await.expect(409)["code"], "job_reassigned");

    scene.send_offer(customer, json!({"proposed_price": 85})).await.expect(201);
    let cancel = json!({"action": "cancel"});
    world.post_as(customer, &format!("/customers/jobs/{job}/action"), &cancel).await.expect(200);
    assert_eq!(world.text(fates).await, "service_provider withdrawn,customer withdrawn");
    assert_eq!(scene.respond(&next.user, json!({"action": "accept"})).await.expect(409)["code"], "wrong_state");
}

/// One negotiation through three doors: the socket, REST, and the provider's own route.
#[tokio::test(flavor = "multi_thread")]
async fn offers_of_every_door_are_the_same_rows() {
    let scene = Scene::booked().await;
    let Scene { world, customer, provider: Provider { user: provider, .. } } = &*scene;
    let job = scene.job;
    let client = Client::connect(world.server.port, &customer.token, nowhere()).await.expect("a connection");
    let ask = async |event: &str, payload: Value| client.ask(event, &payload).await.expect("an answer");

    let by_socket =
        ask("send_negotiation_offer", json!({"jobId": job, "proposed_price": 80, "notes": "By socket"})).await;
    let history = scene.history(provider).await.expect(200);
    assert_eq!(history["offers"], json!([by_socket["offer"]]), "the provider finds it over REST");

    scene.respond(provider, json!({"action": "counter", "counter_proposed_price": 90})).await.expect(201);
    let declined = ask("respond_to_negotiation", json!({"jobId": job, "action": "decline"})).await;
    assert_eq!(declined, json!({"success": true, "message": "Offer declined", "action": "decline"}));

    let edits = json!({"action": "negotiate", "negotiation": {"editedAnswers": {"Rooms": "4"}, "editedPrice": 85.5}});
    world.post_as(provider, &format!("/provider/jobs/{job}/respond"), &edits).await.expect(200);
    let history = scene.history(customer).await.expect(200);
    assert_eq!(history["current_offer"]["answers"], json!({"Rooms": "4"}));
    let accepted = ask("respond_to_negotiation", json!({"jobId": job, "action": "accept"})).await;
    assert_eq!(accepted, json!({"success": true, "message": "Offer accepted", "action": "accept"}));
    assert_eq!(scene.terms().await, (json!(85.5), Value::Null, json!(true), json!(false)));
    assert_eq!(scene.fates().await, ["customer countered", "service_provider declined", "service_provider accepted"]);
}
