//! The calling provider: profile, availability, services and templates.

use reqwest::Method;
use serde_json::{Value, json};
use testing::world::{Answer, booking};

use crate::support::Scene;

impl Scene {
    async fn profile(&self) -> Value {
        self.world.get_as(&self.provider.user, "/provider/profile").await.expect(200)
    }

    async fn change(&self, body: &Value, status: u16) -> Value {
        self.world.put_as(&self.provider.user, "/provider/profile", body).await.expect(status)
    }

    async fn availability(&self, status: &str) -> Answer {
        self.provider_posts("/provider/availability", &json!({"status": status})).await
    }
}

/// ZIP codes as the profile shows them.
fn areas(zip_codes: &[&str]) -> Value {
    let area = |(place, zip_code): (usize, &&str)| json!({"zipcode": zip_code, "isPrimary": place == 0});
    zip_codes.iter().enumerate().map(area).collect()
}

#[tokio::test]
async fn the_profile_is_all_there_is() {
    let scene = Scene::start().await;
    let expected = json!({
        "user": {
            "name": "Pete Pipes", "firstName": "Pete", "lastName": "Pipes", "email": scene.provider.user.email,
            "phone": "+12125550124", "profilePicture": null,
        },
        "business": {
            "id": scene.provider.id, "businessName": "Pete's Pipes", "serviceType": null, "description": null,
            "experience": null, "experienceLevel": null, "location": null, "websiteUrl": null, "region": "New York",
            "area": null, "zipcode": "10001", "minPrice": 80, "maxPrice": 250.5,
        },
        "status": {"current": "active", "isActive": true, "canDeactivate": true, "activeJobsCount": 0, "warnings": 0,
            "lastAvailabilityConfirmedAt": null, "rejectionReason": null},
        "services": [{"id": scene.provider.service_id, "name": "Plumbing", "category": "Repairs"}],
        "serviceAreas": areas(&["10001", "10002"]),
        "documents": {"total": 0, "verified": 0, "pending": 0, "rejected": 0, "list": []},
        "statistics": {"totalJobs": 0, "earnings": 0, "rating": 0.0, "totalReviews": 0},
        "images": {"logoUrl": null, "bannerUrl": null, "galleryImages": []},
    });
    assert_eq!(scene.profile().await, expected);

    scene.world.book(&scene.customer, &scene.provider).await;
    scene
        .world
        .sql(
            "update stm.providers
               set warnings = 2, total_jobs = 3, earnings_cents = 12050, rating = 4.25, rejection_reason = 'No licence'",
        )
        .await;
    scene.world.verified_document(scene.provider.id).await;
    scene.provider_posts("/provider/confirm-availability", &json!({})).await.expect(200);
    let profile = scene.profile().await;
    let confirmed = &profile["status"]["lastAvailabilityConfirmedAt"];
    assert!(confirmed.is_string(), "{confirmed}");
    assert_eq!(
        profile["status"],
        json!({"current": "active", "isActive": true, "canDeactivate": false, "activeJobsCount": 1, "warnings": 2,
            "lastAvailabilityConfirmedAt": confirmed, "rejectionReason": "No licence"})
    );
    assert_eq!((&profile["documents"]["total"], &profile["documents"]["verified"]), (&json!(1), &json!(1)));
    assert_eq!(profile["documents"]["list"][0]["fileName"], "licence.pdf");
    assert_eq!(profile["statistics"], json!({"totalJobs": 3, "earnings": 120.5, "rating": 4.25, "totalReviews": 0}));
    scene.world.sql("update stm.users set banned_at = now() where role = 'service_provider'").await;
    let refused = scene.world.get_as(&scene.provider.user, "/provider/profile").await.status.as_u16();
    assert!(matches!(refused, 401 | 403 | 404), "{refused}");
}

#[tokio::test]
async fn the_profile_is_changed_in_both_spellings() {
    let scene = Scene::start().await;
    let other = scene.world.provider("Plumbing").await;
    let camel = json!({
        "firstName": "Peter", "phone": "212-555-0177", "businessName": "Pipes & Co", "websiteUrl": "https://pipes.example",
        "description": "Old pipes", "minPrice": 90.25, "experience": 12, "zipCodes": ["10003-1234", "10001", "10003"],
        "images": ["https://cdn.example.com/a.png"], "status": "banned", "rating": 5, "role": "admin", "region": "Boston",
    });
    assert_eq!(scene.change(&camel, 200).await, json!({"message": "Profile updated successfully"}));
    let changed = scene.profile().await;
    assert_eq!((&changed["user"]["name"], &changed["user"]["phone"]), (&json!("Peter Pipes"), &json!("+12125550177")));
    let business = &changed["business"];
    assert_eq!(
        (&business["businessName"], &business["description"], &business["websiteUrl"], &business["experience"]),
        (&json!("Pipes & Co"), &json!("Old pipes"), &json!("https://pipes.example"), &json!(12))
    );
    assert_eq!(
        (&business["minPrice"], &business["maxPrice"], &business["region"]),
        (&json!(90.25), &json!(250.5), &json!("New York"))
    );
    assert_eq!(changed["serviceAreas"], areas(&["10003", "10001"]));
    assert_eq!(
        changed["images"]["galleryImages"],
        json!([{
            "id": "1", "url": "https://cdn.example.com/a.png", "thumbnailUrl": "https://cdn.example.com/a.png",
            "caption": null, "order": 1,
        }])
    );
    assert_eq!((&changed["status"]["current"], &changed["statistics"]["rating"]), (&json!("active"), &json!(0.0)));

    let snake = json!({
        "last_name": "Piper", "phone_number": "2125550188", "business_name": "Snake & Co", "service_type": "Pipes",
        "website_url": "", "description": " ", "min_price": 1, "max_price": 2, "experience_level": "expert",
        "service_areas": ["10002"], "images": [],
    });
    scene.change(&snake, 200).await;
    let changed = scene.profile().await;
    let business = &changed["business"];
    assert_eq!((&changed["user"]["name"], &changed["user"]["phone"]), (&json!("Peter Piper"), &json!("+12125550188")));
    assert_eq!(
        (&business["businessName"], &business["serviceType"], &business["experienceLevel"]),
        (&json!("Snake & Co"), &json!("Pipes"), &json!("expert"))
    );
    assert_eq!((&business["websiteUrl"], &business["description"]), (&json!(null), &json!(null)));
    assert_eq!((&business["minPrice"], &business["maxPrice"]), (&json!(1), &json!(2)));
    assert_eq!((&changed["serviceAreas"], &changed["images"]["galleryImages"]), (&areas(&["10002"]), &json!([])));

    scene.change(&json!({}), 200).await;
    scene.change(&json!({"businessName": null, "zipCodes": null}), 200).await;
    assert_eq!(scene.profile().await, changed, "what is left out stays");
    let others = scene.world.get_as(&other.user, "/provider/profile").await.expect(200);
    assert_eq!(
        (&others["business"]["businessName"], &others["serviceAreas"]),
        (&json!("Pete's Pipes"), &areas(&["10001", "10002"]))
    );
}

#[tokio::test]
async fn every_bad_field_of_the_profile_is_named() {
    let scene = Scene::start().await;
    let before = scene.profile().await;
    for (field, value, named) in [
        ("firstName", json!(" "), "firstName"),
        ("last_name", json!("x".repeat(201)), "lastName"),
        ("phone", json!("1"), "phone"),
        ("phone_number", json!("+44 20 7946 0000"), "phoneNumber"),
        ("businessName", json!(" "), "businessName"),
        ("description", json!("x".repeat(4001)), "description"),
        ("location", json!("\u{0}"), "location"),
        ("websiteUrl", json!("javascript:alert(1)"), "websiteUrl"),
        ("experience", json!(101), "experience"),
        ("experience", json!("ten"), "experience"),
        ("minPrice", json!(-1), "minPrice"),
        ("min_price", json!(251), "minPrice"),
        ("maxPrice", json!(79.99), "maxPrice"),
        ("zipCodes", json!([]), "zipCodes"),
        ("zipCodes", json!(["10001", "x"]), "zipCodes[1]"),
        ("service_areas", json!(vec!["10001"; 201]), "serviceAreas"),
        ("images", json!(["https://a.example/b", "ftp://x/y"]), "images[1]"),
        ("images", json!(vec!["https://a.example/b"; 21]), "images"),
    ] {
        let answer = scene.change(&json!({field: value, "serviceType": "Other"}), 400).await;
        assert_eq!(answer["errors"][0]["field"], named, "{answer}");
    }
    let two = scene.change(&json!({"minPrice": 5, "maxPrice": 4, "phone": "1"}), 400).await;
    assert_eq!(two["errors"].as_array().map(Vec::len), Some(2), "{two}");
    assert_eq!(scene.profile().await, before, "a refused change changes nothing");
}

#[tokio::test]
async fn a_provider_goes_away_only_without_open_jobs() {
    let scene = Scene::start().await;
    let away = scene.availability("inactive").await.expect(200);
    assert_eq!(away, json!({"status": "inactive", "message": "You take no bookings now"}));
    scene.availability("inactive").await.expect(200);
    let body = booking(&scene.provider);
    let refused = scene.customer_posts("/customer/booking", &body).await.expect(400);
    assert_eq!(refused["code"], "provider_not_active");
    let back =
        scene.world.request(Method::POST, "/provider/mark-available", Some(&scene.provider.user.token), None).await;
    assert_eq!(back.expect(200), json!({"status": "active", "message": "You take bookings now"}));

    scene.world.book(&scene.customer, &scene.provider).await;
    for status in ["new", "in_progress"] {
        scene.world.sql(&format!("update stm.jobs set status = '{status}'")).await;
        assert_eq!(scene.availability("inactive").await.expect(409)["code"], "open_jobs", "{status}");
        scene.availability("active").await.expect(200);
    }
    for status in ["completed", "paid", "cancelled", "rejected_by_sp"] {
        scene
            .world
            .sql(&format!("update stm.jobs set status = '{status}'; update stm.providers set status = 'active'"))
            .await;
        scene.availability("inactive").await.expect(200);
    }
    for status in ["pending", "rejected", "banned"] {
        scene.world.sql(&format!("update stm.providers set status = '{status}'")).await;
        for wanted in ["active", "inactive"] {
            assert!(matches!(scene.availability(wanted).await.status.as_u16(), 403 | 404 | 409), "{status} {wanted}");
        }
        assert_eq!(scene.world.text("select status from stm.providers").await, status);
    }
    for bad in [json!({}), json!({"status": "banned"}), json!({"status": null}), json!({"status": 1})] {
        let answer = scene.provider_posts("/provider/availability", &bad).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], "status");
    }
}

/// A booking and going away at the same time: one of them is refused, whichever is first.
#[tokio::test(flavor = "multi_thread")]
async fn going_away_and_a_booking_exclude_each_other() {
    let scene = Scene::start().await;
    let body = booking(&scene.provider);
    for _ in 0..20 {
        let (booked, away) =
            tokio::join!(scene.customer_posts("/customer/booking", &body), scene.availability("inactive"));
        match (booked.status.as_u16(), away.status.as_u16()) {
            (201, 409) | (400, 200) => {}
            both => panic!("{both:?}: {} {}", booked.body, away.body),
        }
        scene.world.sql("update stm.jobs set status = 'cancelled'; update stm.providers set status = 'active'").await;
    }
}

#[tokio::test]
async fn availability_is_confirmed() {
    let scene = Scene::start().await;
    let body = scene.provider_posts("/provider/confirm-availability", &json!({})).await.expect(200);
    let at = body["confirmedAt"].clone();
    assert_eq!(
        body,
        json!({
            "success": true, "message": "Availability confirmed", "confirmedAt": at,
            "provider": {
                "id": scene.provider.id, "businessName": "Pete's Pipes", "status": "active", "lastAvailabilityConfirmedAt": at,
            },
        })
    );
    let dashboard = scene.world.get_as(&scene.provider.user, "/provider/dashboard").await.expect(200);
    assert_eq!(dashboard["summary"]["lastAvailabilityConfirmedAt"], at);
}

#[tokio::test]
async fn a_service_of_the_catalogue_is_offered_once() {
    let scene = Scene::start().await;
    let id = scene.world.number("select id from stm.services where name = 'House cleaning'").await;
    let add = async |body: &Value| scene.provider_posts("/provider/add-service", body).await;
    let body = add(&json!({"serviceId": id})).await.expect(201);
    assert_eq!(
        body,
        json!({"message": "Service added successfully", "serviceId": id, "serviceName": "House cleaning", "category": "Cleaning"})
    );
    assert_eq!(add(&json!({"serviceId": id})).await.expect(409)["code"], "already_offered");
    assert_eq!(add(&json!({"serviceId": scene.provider.service_id})).await.expect(409)["code"], "already_offered");
    add(&json!({"serviceId": 999_999})).await.expect(404);
    for bad in [json!({}), json!({"serviceId": "one"}), json!({"serviceId": null})] {
        assert_eq!(add(&bad).await.expect(400)["errors"][0]["field"], "serviceId");
    }
    scene.world.sql("insert into stm.services (name, category, status) values ('Secret', 'x', 'pending')").await;
    let secret = scene.world.number("select id from stm.services where name = 'Secret'").await;
    add(&json!({"serviceId": secret})).await.expect(404);
    assert_eq!(scene.profile().await["services"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn templates_are_set_and_taken_away() {
    let scene = Scene::start().await;
    let other = scene.world.provider("Plumbing").await;
    let path = "/provider/email-templates";
    let variables = json!(["[CUSTOMER_NAME]", "[SERVICE_NAME]", "[LOCATION]", "[SCHEDULED_DATE]"]);
    let none = json!({
        "first_message_template": null, "job_accepted_subject": null, "job_accepted_body": null,
        "negotiation_subject": null, "negotiation_body": null, "variables": variables,
    });
    assert_eq!(scene.world.get_as(&scene.provider.user, path).await.expect(200), none);
    let put = async |body: &Value, status| scene.world.put_as(&scene.provider.user, path, body).await.expect(status);
    let all = json!({
        "first_message_template": "Hello [CUSTOMER_NAME]", "job_accepted_subject": "Yes", "job_accepted_body": "I come",
        "negotiation_subject": "But", "negotiation_body": "At [LOCATION]",
    });
    let mut expected = all.clone();
    expected["variables"] = variables;
    let mut answer = expected.clone();
    answer["message"] = json!("Templates updated successfully");
    assert_eq!(put(&all, 200).await, answer);
    assert_eq!(scene.world.get_as(&scene.provider.user, path).await.expect(200), expected);
    put(&json!({"job_accepted_subject": null, "job_accepted_body": " "}), 200).await;
    expected["job_accepted_subject"] = json!(null);
    expected["job_accepted_body"] = json!(null);
    assert_eq!(scene.world.get_as(&scene.provider.user, path).await.expect(200), expected);
    for (field, value) in [
        ("first_message_template", json!("x".repeat(4001))),
        ("job_accepted_subject", json!("x".repeat(201))),
        ("job_accepted_body", json!("x".repeat(4001))),
        ("negotiation_subject", json!(1)),
        ("negotiation_body", json!("\u{0}")),
    ] {
        assert_eq!(put(&json!({field: value}), 400).await["errors"][0]["field"], field);
    }
    assert_eq!(scene.world.get_as(&scene.provider.user, path).await.expect(200), expected);
    let booked = scene.world.book(&scene.customer, &scene.provider).await;
    let chat = booked["chat"]["id"].as_str().expect("an id");
    let history = scene.world.get_as(&scene.customer, &format!("/chat/{chat}/messages")).await.expect(200);
    assert_eq!(history["messages"][1]["message"], "Hello Ann Archer");

    let deleted = scene.world.delete_as(&scene.provider.user, path).await.expect(200);
    assert_eq!(deleted["message"], "Templates deleted successfully");
    assert_eq!(scene.world.get_as(&scene.provider.user, path).await.expect(200), none);
    assert_eq!(scene.world.get_as(&other.user, path).await.expect(200), none);
}
