//! The public catalogue, searched.

use serde_json::{Value, json};
use testing::world::ZIP_CODE;

use crate::support::Scene;

/// Two providers at 10001 and 10002 (80 to 250.50 dollars), one of plumbing, one of cleaning.
async fn catalogue() -> Scene {
    let scene = Scene::start().await;
    scene
        .world
        .sql(
            "insert into stm.services (name, category, description, is_popular, questions_json) values
                 ('Window washing', 'Cleaning', 'Panes and frames, polished', true, '[{\"question\": \"Floors?\"}]'),
                 ('Physical therapy', 'Health', null, false, null);
             insert into stm.services (name, category, status) values ('Plumbing of secrets', 'Repairs', 'pending')",
        )
        .await;
    scene.world.provider("House cleaning").await;
    scene
}

impl Scene {
    async fn found(&self, query: &str) -> Vec<String> {
        let page = self.world.get(&format!("/services/search?{query}")).await.expect(200);
        names(&page["data"])
    }
}

fn names(rows: &Value) -> Vec<String> {
    rows.as_array().expect("rows").iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn services_are_found_by_words_place_category_and_price() {
    let scene = catalogue().await;
    for (query, expected) in [
        // Whole words in any form, the beginning of one, nearly right ones, in name, category and description.
        ("query=plumbing", vec!["Plumbing"]),
        ("query=Plumb", vec!["Plumbing"]),
        ("query=plumbng", vec!["Plumbing"]),
        ("query=clean%20house", vec!["House cleaning"]),
        ("query=windows", vec!["Window washing"]),
        ("query=polishing", vec!["Window washing"]),
        ("query=cleaning", vec!["House cleaning", "Window washing"]),
        // Neither wildcards nor operators nor words that say nothing.
        ("query=%25", vec![]),
        ("query=_%20%7C%20!", vec![]),
        ("query=of", vec![]),
        ("query=plumbing%20!%20%26%20(%27%5C", vec!["Plumbing"]),
        ("query=zebra", vec![]),
        ("category=cleaning", vec!["Window washing", "House cleaning"]),
        ("category=clean", vec![]),
        ("zipcode=10002", vec!["House cleaning", "Plumbing"]),
        ("zipcode=10002-1234&query=pipe%20plumbing", vec!["Plumbing"]),
        ("zipcode=99999", vec![]),
        ("maxPrice=79.99", vec![]),
        ("maxPrice=80", vec!["House cleaning", "Plumbing"]),
        ("minPrice=250.51", vec![]),
        ("minPrice=250.5&zipcode=10001", vec!["House cleaning", "Plumbing"]),
        ("maxPrice=79.99&zipcode=10001", vec![]),
        (
            "query=&category=&zipcode=&minPrice=",
            vec!["Window washing", "House cleaning", "Physical therapy", "Plumbing"],
        ),
    ] {
        assert_eq!(scene.found(query).await, expected, "{query}");
    }

    let page = scene.world.get("/services/search?limit=1&page=2").await.expect(200);
    assert_eq!(page["pagination"], json!({"total": 4, "page": 2, "limit": 1, "totalPages": 4}));
    assert_eq!(names(&page["data"]), ["House cleaning"]);
    let beyond = scene.world.get("/services/search?limit=1&page=9").await.expect(200);
    assert_eq!((&beyond["data"], &beyond["pagination"]["total"]), (&json!([]), &json!(4)));

    let washing = scene.world.get("/services/search?query=washing").await.expect(200)["data"][0].clone();
    assert_eq!(
        washing,
        json!({"id": washing["id"], "name": "Window washing", "category": "Cleaning", "description": "Panes and frames, polished",
            "questionsJson": [{"question": "Floors?"}], "isPopular": true, "availableProviders": 0, "priceRange": {"min": null, "max": null}})
    );
    let plumbing = &scene.world.get("/services/search?query=plumbing&zipcode=10001").await.expect(200)["data"][0];
    assert_eq!(
        (&plumbing["availableProviders"], &plumbing["priceRange"]),
        (&json!(1), &json!({"min": 80, "max": 250.5}))
    );
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let scene = catalogue().await;
    let long = "x".repeat(101);
    for (path, field) in [
        (format!("/services/search?query={long}"), "query"),
        (format!("/services/search?category={long}"), "category"),
        ("/services/search?zipcode=1".into(), "zipcode"),
        ("/services/search?minPrice=x".into(), "minPrice"),
        ("/services/search?maxPrice=-1".into(), "maxPrice"),
        ("/services/search?minPrice=2&maxPrice=1".into(), "minPrice"),
        ("/services/search?limit=0".into(), "limit"),
        ("/services/search?page=0".into(), "page"),
        ("/homepage/search/services?query=ab".into(), "query"),
        ("/homepage/search/services".into(), "query"),
        ("/homepage/search/locations?query=1".into(), "query"),
        ("/homepage/search/locations?query=10&limit=0".into(), "limit"),
        (format!("/homepage/search/services/category/{long}"), "category"),
    ] {
        assert_eq!(scene.world.get(&path).await.expect(400)["errors"][0]["field"], field, "{path}");
    }
    scene.world.get("/services/search?query=a%00b").await.expect(400);
    for (path, request, field) in [
        ("/services/smart-providers", json!({"zipcode": ZIP_CODE}), "serviceId"),
        ("/services/smart-providers", json!({"serviceId": 1, "zipcode": "x"}), "zipcode"),
        ("/services/smart-providers", json!({"serviceId": 1, "zipcode": ZIP_CODE, "budget": -1}), "budget"),
        ("/homepage/search/providers", json!({"zipcode": ZIP_CODE}), "service"),
        ("/homepage/search/providers", json!({"service": "x"}), "zipcode"),
        (
            "/homepage/search/providers",
            json!({"service": "x", "zipcode": ZIP_CODE, "filters": {"minRating": 6}}),
            "filters.minRating",
        ),
        (
            "/homepage/search/providers",
            json!({"service": "x", "zipcode": ZIP_CODE, "filters": {"maxPrice": "y"}}),
            "filters.maxPrice",
        ),
    ] {
        assert_eq!(scene.world.post(path, &request).await.expect(400)["errors"][0]["field"], field, "{path} {request}");
    }
}

#[tokio::test]
async fn the_homepage_suggests_while_somebody_types() {
    let scene = catalogue().await;
    let found = scene.world.get("/homepage/search/services?query=clea").await.expect(200);
    assert_eq!(found["success"], true);
    let found = found["data"].as_array().expect("data");
    assert_eq!((&found[0]["type"], &found[0]["category"]), (&json!("category"), &json!("Cleaning")));
    assert!(found[0].get("name").is_none() && found[0]["id"].is_i64(), "{}", found[0]);
    assert_eq!((&found[1]["type"], &found[1]["name"]), (&json!("service"), &json!("House cleaning")));

    let category = scene.world.get("/homepage/search/services/category/CLEANING").await.expect(200);
    assert_eq!(category["data"]["category"], "Cleaning");
    assert_eq!(names(&category["data"]["services"]), ["Window washing", "House cleaning"]);
    let none = scene.world.get("/homepage/search/services/category/Magic").await.expect(404);
    assert_eq!(none["code"], "not_found");

    let places = scene.world.get("/homepage/search/locations?query=100").await.expect(200);
    assert_eq!(
        places,
        json!({"success": true, "data": [
            {"zipCode": "10001", "formattedAddress": "10001, New York"}, {"zipCode": "10002", "formattedAddress": "10002, New York"}]})
    );
    let places = scene.world.get("/homepage/search/locations?query=new%20yo&limit=1").await.expect(200);
    assert_eq!(places["data"][0]["zipCode"], "10001");
}

#[tokio::test]
async fn providers_are_found_by_service_place_price_and_rating() {
    let scene = catalogue().await;
    let other = scene.world.provider("Plumbing").await;
    scene
        .world
        .sql(&format!("update stm.providers set rating = 4.5, min_price_cents = 5000 where id = {}", other.id))
        .await;
    let smart = |more: Value| {
        let mut request = json!({"serviceId": scene.provider.service_id, "zipcode": ZIP_CODE});
        if let Some(more) = more.as_object() {
            request.as_object_mut().expect("an object").extend(more.clone());
        }
        let world = &scene.world;
        async move { world.post("/services/smart-providers", &request).await }
    };
    let found = smart(json!({})).await.expect(201);
    assert_eq!((&found["success"], &found["totalMatches"]), (&json!(true), &json!(2)));
    assert_eq!(
        found["providers"][0],
        json!({"id": other.id, "logoUrl": null, "bannerUrl": null, "businessName": "Pete's Pipes", "ownerName": "Pete Pipes", "rating": 4.5, "totalJobs": 0,
            "experience": 0, "description": null, "location": "New York", "minPrice": 50, "maxPrice": 250.5,
            "serviceAreas": ["10001", "10002"],
            "services": [{"id": scene.provider.service_id, "name": "Plumbing", "category": "Repairs"}]})
    );
    assert_eq!(smart(json!({"budget": 79})).await.expect(201)["totalMatches"], 1);
    assert_eq!(smart(json!({"zipcode": "99999"})).await.expect(201)["providers"], json!([]));
    smart(json!({"serviceId": 999_999})).await.expect(404);

    let find = |request: Value| {
        let world = &scene.world;
        async move { world.post("/homepage/search/providers", &request).await.expect(201)["data"].clone() }
    };
    let found =
        find(json!({"service": "plumbing", "zipcode": ZIP_CODE, "filters": {"minRating": 4, "maxPrice": 60}})).await;
    assert_eq!(
        (&found["count"], &found["service"], &found["location"], &found["providers"][0]["id"]),
        (
            &json!(1),
            &json!({"id": scene.provider.service_id, "name": "Plumbing", "category": "Repairs"}),
            &json!(ZIP_CODE),
            &json!(other.id)
        )
    );
    let none = find(json!({"service": "Magic", "zipcode": ZIP_CODE})).await;
    assert_eq!(none, json!({"providers": [], "count": 0, "service": null, "location": ZIP_CODE}));

    // Who goes away is found no more.
    scene.world.sql(&format!("update stm.providers set status = 'inactive' where id = {}", other.id)).await;
    assert_eq!(smart(json!({})).await.expect(201)["totalMatches"], 1);
}

#[tokio::test]
async fn a_provider_has_a_page_without_email_and_phone() {
    let scene = catalogue().await;
    scene.new_job().await;
    scene
        .world
        .sql(
            "insert into stm.reviews (job_id, customer_id, provider_id, rating, feedback)
             select id, customer_id, provider_id, 5, 'Dry at last' from stm.jobs",
        )
        .await;
    let page = scene.world.get(&format!("/providers/whatever-{}", scene.provider.id)).await.expect(200);
    assert_eq!(page["success"], true);
    let data = &page["data"];
    assert_eq!(
        (&data["slug"], &data["businessName"], &data["services"][0]["name"], &data["totalReviews"]),
        (&json!(format!("pete-s-pipes-{}", scene.provider.id)), &json!("Pete's Pipes"), &json!("Plumbing"), &json!(1))
    );
    assert_eq!(
        (&data["address"], &data["experience"], &data["isAvailable"], &data["services"][0]["isActive"]),
        (&json!({"city": "New York", "state": "New York", "zipCode": "10001"}), &json!(0), &json!(true), &json!(true))
    );
    assert_eq!((&data["galleryImages"], &data["certifications"]), (&json!([]), &json!([])));
    let review = &data["reviews"][0];
    assert_eq!((&review["customer"], &review["feedback"]), (&json!("Ann"), &json!("Dry at last")));
    let text = page.to_string();
    assert!(!text.contains('@') && !text.contains("21255501") && !text.contains("Archer"), "{text}");
    for slug in ["nobody-999999", "nobody", "x-", "99999999999999999999"] {
        scene.world.get(&format!("/providers/{slug}")).await.expect(404);
    }
    scene.world.sql("update stm.providers set status = 'pending'").await;
    scene.world.get(&format!("/providers/x-{}", scene.provider.id)).await.expect(404);
}
