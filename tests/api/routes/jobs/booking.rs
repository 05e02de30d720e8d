//! Booking a provider.

use serde_json::{Value, json};
use testing::world::{Answer, booking};

use crate::support::Scene;
use crate::support::files::png;

impl Scene {
    async fn book_with(&self, changes: &[(&str, Value)]) -> Answer {
        let mut request = booking(&self.provider);
        for (field, value) in changes {
            request[*field] = value.clone();
        }
        self.customer_posts("/jobs/create", &request).await
    }

    async fn nothing_is_booked(&self) {
        for table in ["jobs", "chats", "chat_members", "messages"] {
            assert_eq!(self.world.number(&format!("select count(*) from stm.{table}")).await, 0, "{table}");
        }
    }
}

#[tokio::test]
async fn a_booking_is_a_job_a_chat_its_members_a_message_and_a_notification() {
    let scene = Scene::start().await;
    scene.world.sql("update stm.providers set first_message_template = 'Hi [CUSTOMER_NAME]: [SERVICE_NAME] at [LOCATION] on [SCHEDULED_DATE]'").await;
    let date = (chrono::Utc::now() + chrono::Duration::days(7)).format("%Y-%m-%dT10:00:00Z").to_string();
    let more = [
        ("preferredDate", json!(date)),
        ("price", json!(1)),
        ("status", json!("paid")),
        ("images", json!(["https://cdn.example.com/a.png"])),
        ("projectSizeSqft", json!(900)),
    ];
    let body = scene.book_with(&more).await.expect(201);
    let job = &body["job"];
    assert_eq!(
        (&job["status"], &job["service"], &job["location"]),
        (&json!("new"), &json!("Plumbing"), &json!("1 Main Street"))
    );
    assert_eq!(job["scheduled_at"], json!(date.replace('Z', ".000Z")));
    assert!(body["message"].is_string() && body["chat"]["created_at"].is_string(), "{body}");

    let one = async |sql: &str| scene.world.number(sql).await;
    assert_eq!(one("select count(*) from stm.jobs where price_cents = 12050 and customer_budget_cents = 12050 and status = 'new' and not sp_accepted").await, 1);
    assert_eq!(
        one("select extract(epoch from response_deadline - created_at)::bigint from stm.jobs").await.div_euclid(10),
        360,
        "an hour"
    );
    assert_eq!(one("select count(*) from stm.chat_members where left_at is null").await, 2);
    assert_eq!(one("select last_seq from stm.chats").await, 3);
    let history = scene
        .world
        .get_as(&scene.provider.user, &format!("/chat/{}/messages", body["chat"]["id"].as_str().expect("an id")))
        .await
        .expect(200);
    let line = |at: usize| {
        (
            history["messages"][at]["seq"].as_i64(),
            history["messages"][at]["sender_type"].clone(),
            history["messages"][at]["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (seq, side, text) = line(0);
    assert_eq!((seq, side), (Some(1), json!("customer")));
    for expected in ["Plumbing", "1 Main Street", "Budget: $120.50", "Rooms: 3"] {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(
        line(1),
        (Some(2), json!("customer"), r#"{"images":["https://cdn.example.com/a.png"],"count":1}"#.to_owned())
    );
    assert_eq!(history["messages"][1]["message_type"], "image");
    let (seq, side, text) = line(2);
    assert_eq!((seq, side), (Some(3), json!("service_provider")));
    assert!(
        text.starts_with("Hi Ann Archer: Plumbing at 1 Main Street on ") && text.ends_with(", 10:00 AM UTC"),
        "{text}"
    );
    let notified = format!(
        "select count(*) from stm.notifications where recipient_id = {} and type = 'job' and read_at is null",
        scene.provider.user.id
    );
    assert_eq!(one(&notified).await, 1);
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let scene = Scene::start().await;
    for (field, value, named) in [
        ("serviceId", json!(null), "serviceId"),
        ("serviceId", json!("one"), "serviceId"),
        ("providerId", json!(1.5), "providerId"),
        ("zipcode", json!("x"), "zipcode"),
        ("zipcode", json!(10001), "zipcode"),
        ("location", json!("x".repeat(201)), "location"),
        ("answers", json!("yes"), "answers"),
        ("answers", json!({"a": "x".repeat(17_000)}), "answers"),
        ("preferredDate", json!("soon"), "preferredDate"),
        ("preferredDate", json!("2020-01-01"), "preferredDate"),
        ("customerBudget", json!(-1), "customerBudget"),
        ("customerBudget", json!(0.001), "customerBudget"),
        ("customerBudget", json!("a hundred"), "customerBudget"),
        ("images", json!(["ftp://x/y"]), "images[0]"),
        ("images", json!(vec!["https://x.example/y"; 21]), "images"),
        ("projectSizeSqft", json!(0), "projectSizeSqft"),
        ("requiresInPersonVisit", json!("yes"), "requiresInPersonVisit"),
    ] {
        let answer = scene.book_with(&[(field, value.clone())]).await;
        assert_eq!(answer.status, 400, "{field} {value}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["field"], named, "{field} {value}: {}", answer.body);
    }
    scene.nothing_is_booked().await;
}

#[tokio::test]
async fn a_provider_who_cannot_do_it_is_not_booked() {
    let scene = Scene::start().await;
    let cleaning = scene.world.number("select id from stm.services where name = 'House cleaning'").await;
    for (changes, status, code) in [
        (vec![("serviceId", json!(cleaning))], 400, "service_not_offered"),
        (vec![("zipcode", json!("99999"))], 400, "zip_code_not_served"),
        (vec![("serviceId", json!(999_999))], 404, "not_found"),
        (vec![("providerId", json!(999_999))], 404, "not_found"),
        (vec![("providerId", json!(i64::MAX))], 404, "not_found"),
    ] {
        let body = scene.book_with(&changes).await.expect(status);
        assert_eq!(body["code"], code, "{changes:?}");
    }
    for status in ["pending", "inactive", "rejected", "banned"] {
        scene.world.sql(&format!("update stm.providers set status = '{status}'")).await;
        assert_eq!(scene.book_with(&[]).await.expect(400)["code"], "provider_not_active", "{status}");
    }
    scene.world.sql("update stm.providers set status = 'active'; update stm.services set status = 'pending'").await;
    scene.book_with(&[]).await.expect(404);
    scene.world.sql("update stm.services set status = 'approved'; update stm.users set banned_at = now() where role = 'customer'").await;
    // By the check of the login or, before the news of the ban arrives, by the booking's own.
    let refused = scene.book_with(&[]).await.status.as_u16();
    assert!(matches!(refused, 401 | 403), "{refused}");
    scene.nothing_is_booked().await;
}

#[tokio::test]
async fn open_and_unpaid_jobs_stand_in_the_way() {
    let scene = Scene::start().await;
    let other = scene.world.provider("Plumbing").await;
    let book_other = async || scene.customer_posts("/customer/booking", &booking(&other)).await;
    scene.book_with(&[]).await.expect(201);
    assert_eq!(scene.book_with(&[]).await.expect(409)["code"], "open_job_with_provider");
    book_other().await.expect(201);

    let set = async |state: &str| {
        scene
            .world
            .sql(&format!(
                "delete from stm.chats where job_id <> 1;
                     delete from stm.job_events where job_id <> 1;
                     delete from stm.jobs where id <> 1;
                     update stm.jobs set {state}"
            ))
            .await;
    };
    set("status = 'in_progress'").await;
    assert_eq!(scene.book_with(&[]).await.expect(409)["code"], "open_job_with_provider");
    set("status = 'completed'").await;
    let unpaid = book_other().await.expect(409);
    assert_eq!(
        (&unpaid["code"], &unpaid["message"]),
        (
            &json!("unpaid_job"),
            &json!("You have an unpaid job (#1) with Pete's Pipes: pay for it before booking again")
        )
    );
    set("status = 'new', sp_accepted = true").await;
    assert_eq!(book_other().await.expect(409)["code"], "accepted_job_waiting");
    for done in ["paid", "cancelled", "rejected_by_sp"] {
        set(&format!("status = '{done}', sp_accepted = false")).await;
        scene.book_with(&[]).await.expect(201);
    }
    let somebody_else = scene.world.customer().await;
    scene.world.post_as(&somebody_else, "/customer/booking", &booking(&scene.provider)).await.expect(201);
}

/// What can stand in the way of a booking, in the order in which it is told: SQL that puts it there (and has `$customer`,
/// `$provider`, `$other`, `$service` in it), and the code of the refusal.
const OBSTACLES: [(&str, &str); 7] = [
    ("update stm.providers set status = 'inactive' where id = $provider", "provider_not_active"),
    ("delete from stm.provider_services where provider_id = $provider", "service_not_offered"),
    ("delete from stm.provider_zip_codes where provider_id = $provider", "zip_code_not_served"),
    ("insert into stm.jobs (customer_id, provider_id, service_id, status, price_cents, zipcode, response_deadline)
      values ($customer, $other, $service, 'completed', 100, '10001', now())", "unpaid_job"),
    ("insert into stm.jobs (customer_id, provider_id, service_id, status, price_cents, zipcode, response_deadline)
      values ($customer, $provider, $service, 'in_progress', 100, '10001', now())", "open_job_with_provider"),
    ("insert into stm.jobs (customer_id, provider_id, service_id, status, sp_accepted, price_cents, zipcode, response_deadline)
      values ($customer, $other, $service, 'new', true, 100, '10001', now())", "accepted_job_waiting"),
    ("update stm.files set state = 'deleted', deleted_at = now()", "validation_failed"),
];

/// The database decides whether a booking is made, the service says why not: with every combination of what can stand in the
/// way, they agree, and what is refused leaves nothing.
#[tokio::test]
async fn the_database_and_the_rules_agree() {
    let scene = Scene::start().await;
    let (world, customer, provider) = (&scene.world, &scene.customer, &scene.provider);
    let other = world.provider("Plumbing").await;
    let uploaded = world.upload(customer, "/jobs/images/upload", "images", vec![("a.png", png(8, 8))], &[]).await;
    let image = uploaded.expect(201)["imageUrls"][0].clone();
    let customer_id = world.number(&format!("select id from stm.customers where user_id = {}", customer.id)).await;
    let filled = |sql: &str| {
        sql.replace("$customer", &customer_id.to_string())
            .replace("$provider", &provider.id.to_string())
            .replace("$other", &other.id.to_string())
            .replace("$service", &provider.service_id.to_string())
    };
    for combination in 0..1 << OBSTACLES.len() {
        let there = |at: &usize| combination >> at & 1 == 1;
        let obstacles: Vec<_> = (0..OBSTACLES.len()).filter(there).map(|at| OBSTACLES[at]).collect();
        world
            .sql(&filled(
                "delete from stm.notifications; delete from stm.chats; delete from stm.job_events; delete from stm.jobs;
                 update stm.providers set status = 'active' where id = $provider;
                 insert into stm.provider_services (provider_id, service_id) values ($provider, $service) on conflict do nothing;
                 insert into stm.provider_zip_codes (provider_id, zip_code, position) values ($provider, '10001', 1) on conflict do nothing;
                 update stm.files set state = 'pending', deleted_at = null",
            ))
            .await;
        for (sql, _) in &obstacles {
            world.sql(&filled(sql)).await;
        }
        let count = async || {
            world.number("select (select count(*) from stm.jobs) + (select count(*) from stm.notifications)").await
        };
        let before = count().await;
        let answer = scene.book_with(&[("images", json!([image]))]).await;
        let is_attached = world.number("select count(*) from stm.files where state = 'attached'").await == 1;
        match obstacles.first() {
            None => {
                answer.expect(201);
                assert_eq!((count().await, is_attached), (2, true));
            }
            Some((_, code)) => {
                assert_eq!(answer.body["code"], *code, "{obstacles:?}");
                assert_eq!((count().await, is_attached), (before, false), "{obstacles:?}");
            }
        }
    }
}

/// Templates are filled in one pass, whatever is in them and in the values.
#[tokio::test]
async fn the_provider_s_template_is_filled_once() {
    let scene = Scene::start().await;
    let templates = [
        (
            "Hi [CUSTOMER_NAME], [SERVICE_NAME] at [LOCATION] [x] [",
            "Hi [LOCATION] Smith, Plumbing at [SERVICE_NAME] [x] [",
        ),
        ("[[LOCATION]] [location] [LOCATION", "[[SERVICE_NAME]] [location] [LOCATION"),
        ("[SCHEDULED_DATE]", "a date to be agreed"),
        ("no variables: é ] \\ %s $1", "no variables: é ] \\ %s $1"),
    ];
    scene
        .world
        .sql("update stm.users set first_name = '[LOCATION]', last_name = 'Smith' where role = 'customer'")
        .await;
    let long = format!("{}[SERVICE_NAME]", "é".repeat(3996));
    let filled = format!("{}Plum", "é".repeat(3996));
    for (template, expected) in templates.into_iter().chain([(long.as_str(), filled.as_str())]) {
        let mut session = scene.world.database.session().await;
        sqlx::query("update stm.providers set first_message_template = $1")
            .bind(template)
            .execute(&mut session)
            .await
            .expect("set");
        let booked = scene.book_with(&[("location", json!("[SERVICE_NAME]"))]).await.expect(201);
        let messages = format!("/chat/{}/messages", booked["chat"]["id"].as_str().expect("an id"));
        let messages = scene.world.get_as(&scene.customer, &messages).await.expect(200);
        assert_eq!(messages["messages"][1]["message"], expected, "{template}");
        scene.world.sql("update stm.jobs set status = 'cancelled'").await;
    }
}

/// The rules hold when one customer's requests race each other.
#[tokio::test(flavor = "multi_thread")]
async fn of_racing_bookings_one_wins() {
    let scene = Scene::start().await;
    for round in 1..=20 {
        let attempts = (0..8).map(|_| scene.book_with(&[]));
        let answers = futures_util::future::join_all(attempts).await;
        let won = answers.iter().filter(|answer| answer.status == 201).count();
        let lost = answers.iter().filter(|answer| answer.status == 409).count();
        assert_eq!((won, lost), (1, 7), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(scene.world.number("select count(*) from stm.jobs").await, round);
        scene.world.sql("update stm.jobs set status = 'cancelled'").await;
    }
    assert_eq!(scene.world.number("select count(*) from stm.chats").await, 20);
}
