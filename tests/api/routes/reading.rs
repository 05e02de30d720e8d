//! How forgiving requests are read: numbers as text, empty values, spellings, dates, and text that people paste.

use reqwest::Method;
use serde_json::{Value, json};
use testing::world::{PASSWORD, World, booking, customer_registration, unique_email};

use crate::support::{SERVE, Scene};

#[tokio::test]
async fn numbers_may_be_text_and_empty_values_are_absence() {
    let scene = Scene::start().await;
    let world = &scene.world;
    let booking = json!({
        "serviceId": scene.provider.service_id.to_string(), "provider_id": scene.provider.id.to_string(),
        "providerId": scene.provider.id, "zipcode": "10001", "customerBudget": "180.50", "projectSizeSqft": "800",
        "preferredDate": "", "inPersonVisitCost": "", "images": "", "location": "", "answers": {"rooms": "3", "note": ""},
        "status": "paid", "price": 1,
    });
    let job = scene.customer_posts("/jobs/create", &booking).await.expect(201)["job"]["id"].clone();
    let stored = "select concat_ws(' ', status, customer_budget_cents, project_size_sqft, answers) from stm.jobs";
    assert_eq!(world.text(stored).await, r#"new 18050 800 {"note": "", "rooms": "3"}"#);

    let contradiction = json!({"serviceId": 1, "service_id": 2, "providerId": 1, "zipcode": "10001"});
    let refused = scene.customer_posts("/jobs/create", &contradiction).await.expect(400);
    assert_eq!(refused["message"], json!(["serviceId must be the same value in both spellings of its name"]));

    for (path, who) in [
        ("/provider/jobs?status=&fromDate=&toDate=&page=&limit=", &scene.provider.user),
        ("/provider/jobs?page=1&limit=1000&unknown=x", &scene.provider.user),
        ("/notifications?type=&is_read=&limit=&offset=&before=", &scene.provider.user),
        ("/customer/jobs?limit=99999&offset=", &scene.customer),
        ("/services/search?query=&category=&zipcode=&minPrice=&maxPrice=&page=&limit=", &scene.customer),
        ("/services/1/providers?zipcode=&sortBy=", &scene.customer),
    ] {
        world.get_as(who, path).await.expect(200);
    }
    let page = world.get_as(&scene.provider.user, "/provider/jobs?limit=1000").await.expect(200);
    assert_eq!((&page["pagination"]["limit"], &page["data"][0]["id"]), (&json!(100), &job));
    for (path, message) in [
        ("/provider/jobs?page=first", "page must be a whole number"),
        ("/provider/jobs?page=1&page=2", "page must not be given twice"),
        ("/provider/jobs?limit=0", "limit must be at least 1"),
    ] {
        let refused = world.get_as(&scene.provider.user, path).await.expect(400);
        assert_eq!(refused["message"], json!([message]), "{path}");
    }
}

#[tokio::test]
async fn pasted_addresses_have_one_form() {
    let world = World::start(SERVE).await;
    let email = unique_email("rene\u{301}");
    let mut registration = customer_registration(&email.replace('@', "\u{200b}@\u{a0}"));
    registration["phoneNumber"] = json!("tel:+1\u{a0}(212)\u{a0}555\u{2011}0123");
    registration["firstName"] = json!("\u{feff}Rene\u{301}\u{200b} ");
    let session = world.post("/auth/register", &registration).await.expect(201);
    let composed = email.replace("e\u{301}", "\u{e9}");
    assert_eq!((&session["user"]["email"], &session["user"]["firstName"]), (&json!(composed), &json!("Ren\u{e9}")));
    let phone = "select phone_number from stm.users where role = 'customer'";
    assert_eq!(world.text(phone).await, "+12125550123");

    for spelling in [&email, &composed, &composed.to_uppercase(), &format!("\u{2060}{composed}\u{3000}")] {
        let login = json!({"email": spelling, "password": PASSWORD});
        world.post("/auth/login", &login).await.expect(200);
        world.post("/auth/register", &customer_registration(spelling)).await.expect(409);
    }
    let mut unicode = customer_registration("ann@bu\u{308}cher.example");
    world.post("/auth/register", &unicode).await.expect(201);
    unicode["email"] = json!("ann@xn--bcher-kva.example");
    world.post("/auth/register", &unicode).await.expect(409);
}

#[tokio::test]
async fn names_must_be_visible() {
    let world = World::start(SERVE).await;
    let customer = world.customer().await;
    for blank in ["\u{200b}", "\u{2800}\u{3164}", "\u{a0}\u{200d}\u{fe0f}"] {
        let mut registration = customer_registration(&unique_email("blank"));
        registration["lastName"] = json!(blank);
        let refused = world.post("/auth/register", &registration).await.expect(400);
        assert_eq!(refused["message"], json!(["lastName must not be empty"]));
        world.put_as(&customer, "/customer/profile", &json!({"firstName": blank})).await.expect(400);
    }
}

#[tokio::test]
async fn dates_in_every_form_and_a_day_stays_a_day() {
    let scene = Scene::start().await;
    let ahead = (chrono::Utc::now() + chrono::Days::new(60)).format("%Y-%m-%d").to_string();
    for (form, stored) in [
        (format!("{ahead}T10:00Z"), "T10:00:00.000Z"),
        (format!("{ahead}T10:00:00+0000"), "T10:00:00.000Z"),
        (format!("{ahead} 10:00:00"), "T10:00:00.000Z"),
        (format!("{ahead}T05:00-05:00"), "T10:00:00.000Z"),
        (ahead.clone(), "T12:00:00.000Z"),
    ] {
        let mut booking = booking(&scene.provider);
        booking["preferredDate"] = json!(form);
        let booked = scene.customer_posts("/jobs/create", &booking).await.expect(201);
        assert_eq!(booked["job"]["scheduled_at"], json!(format!("{ahead}{stored}")), "{form}");
        let chat = booked["chat"]["id"].as_str().expect("an id");
        let history = scene.world.get_as(&scene.customer, &format!("/chat/{chat}/messages")).await.expect(200);
        let first = history["messages"][0]["message"].as_str().expect("a text").to_owned();
        assert_eq!(first.contains("10:00"), form != ahead, "{first}");
        assert!(!first.contains("12:00") && !first.contains("00:00:"), "{first}");
        scene.world.sql("update stm.jobs set status = 'cancelled'").await;
    }
    for bad in [format!("{ahead}T23:59:60Z"), "soon".into(), "01/20/2027".into()] {
        let mut booking = booking(&scene.provider);
        booking["preferredDate"] = json!(bad);
        let refused = scene.customer_posts("/jobs/create", &booking).await.expect(400);
        let message = "preferredDate must be an ISO-8601 date, such as 2026-12-02 or 2026-12-02T10:00:00Z";
        assert_eq!(refused["message"], json!([message]), "{bad}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_answered_in_words() {
    let scene = Scene::start().await;
    let post = |body: &str| {
        let request = scene.world.raw(Method::POST, "/customers/disputes").bearer_auth(&scene.customer.token);
        request.header("content-type", "application/json").body(body.to_owned())
    };
    let refused = World::answer(post(r#"{"jobId": 1, "description": "so sad \ud83d"}"#)).await.expect(400);
    assert_eq!(refused["message"], json!(["description must not contain half a character: an emoji was cut in two"]));
    let refused = World::answer(post("\u{1f}\u{8b}").header("content-encoding", "gzip")).await.expect(415);
    let message = "the body must not be compressed: send it without content-encoding";
    assert_eq!((&refused["message"], &refused["code"]), (&json!(message), &json!("unsupported_media_type")));
    World::answer(post(r#"{"jobId": 1, "description": "x"}"#).header("content-encoding", "identity")).await.expect(404);
}

#[tokio::test]
async fn the_notation_of_a_number_does_not_make_another_request() {
    let scene = Scene::start().await;
    let text = booking(&scene.provider).to_string();
    let mut answers: Vec<Value> = Vec::new();
    for budget in ["50", "50.00", "5e1"] {
        let body = text.replace("120.5", budget);
        let request = scene.world.raw(Method::POST, "/jobs/create").bearer_auth(&scene.customer.token);
        let request = request.header("Idempotency-Key", "k").header("content-type", "application/json").body(body);
        answers.push(World::answer(request).await.expect(201));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}
