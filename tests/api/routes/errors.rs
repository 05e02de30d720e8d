//! Errors as clients see them, and browsers of other origins.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testing::world::{Answer, World, booking};

use crate::support::{SERVE, Scene};

#[track_caller]
fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let body = &answer.body;
    assert_eq!((&body["status"], &body["statusCode"]), (&json!(status), &json!(status)), "{body}");
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["error"], body["title"], "{body}");
    assert_eq!(body["type"], "about:blank", "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    assert!(body["message"].is_string() || body["message"].is_array(), "{body}");
    assert_eq!(answer.headers["x-request-id"], body["requestId"].as_str().expect("an id"));
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let world = World::start(SERVE).await;
    is_problem(&world.get("/no/such/route").await, 404, "route_not_found");
    is_problem(&world.request(Method::DELETE, "/services", None, None).await, 405, "method_not_allowed");
    is_problem(&world.get("/services/abc/providers").await, 400, "malformed");
    is_problem(&world.get("/services/99999999999999999999/providers").await, 400, "malformed");
    is_problem(&world.get("/services/1/providers?sortBy=luck").await, 400, "validation_failed");
    is_problem(&world.get("/services/1/providers?zipcode=1").await, 400, "validation_failed");
    is_problem(&world.get("/services/999999/providers").await, 404, "not_found");
    let me = world.get("/auth/me").await;
    is_problem(&me, 401, "unauthorized");
    assert_eq!(me.headers["www-authenticate"], "Bearer");

    let login = || world.raw(Method::POST, "/auth/login");
    is_problem(&World::answer(login().body("email=a")).await, 415, "unsupported_media_type");
    let typed = |body: String| login().header("content-type", "application/json; charset=utf-8").body(body);
    is_problem(&World::answer(typed("{".into())).await, 400, "malformed");
    is_problem(&World::answer(typed(String::new())).await, 400, "malformed");
    is_problem(&World::answer(typed("[]".into())).await, 400, "malformed");
    is_problem(
        &World::answer(typed(r#"{"email": "a@example.com", "password": "12345678"} x"#.into())).await,
        400,
        "malformed",
    );
    is_problem(&World::answer(typed("[".repeat(100_000))).await, 400, "malformed");
    is_problem(
        &World::answer(typed(format!(r#"{{"email": "{}"}}"#, "x".repeat(300_000)))).await,
        413,
        "payload_too_large",
    );

    let wrong_type = World::answer(typed(r#"{"email": 7, "password": "12345678"}"#.into())).await;
    is_problem(&wrong_type, 400, "validation_failed");
    assert_eq!(wrong_type.body["errors"][0]["field"], "email");
    assert_eq!(wrong_type.body["message"], json!(["email must be a string"]));
}

#[tokio::test]
async fn text_that_postgresql_cannot_hold_is_the_clients_mistake() {
    let Scene { world, customer, provider } = Scene::start().await;
    let nul = "a\u{0}b";
    is_problem(&world.put_as(&customer, "/customer/profile", &json!({"address": nul})).await, 400, "validation_failed");
    is_problem(
        &world.post("/auth/login", &json!({"email": format!("{nul}@example.com"), "password": "12345678"})).await,
        401,
        "unauthorized",
    );
    let mut booking = booking(&provider);
    booking["answers"] = json!({"Notes": nul});
    is_problem(&world.post_as(&customer, "/customer/booking", &booking).await, 400, "malformed");
    is_problem(
        &world.get(&format!("/services/{}/providers?zipcode=%00", provider.service_id)).await,
        400,
        "validation_failed",
    );
}

#[tokio::test]
async fn only_configured_origins_may_call_with_credentials() {
    let world = World::start_with(
        SERVE,
        &[("ALLOWED_ORIGINS", "https://app.example.com,https://*.preview.example.com,capacitor://localhost")],
    )
    .await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://pr-7.preview.example.com", true),
        ("capacitor://localhost", true),
        ("ionic://localhost", false),
        ("https://app.example.com.evil.com", false),
        ("http://app.example.com", false),
        ("null", false),
    ] {
        let preflight = world
            .raw(Method::OPTIONS, "/customer/booking")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let simple = world.raw(Method::GET, "/services").header("origin", origin);
        let polling = world.raw(Method::GET, "/socket.io/?EIO=4&transport=polling").header("origin", origin);
        for request in [preflight, simple, polling] {
            let answer = World::answer(request).await;
            assert!(answer.status == StatusCode::OK, "{origin}: {}", answer.status);
            let echoed = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().expect("text"));
            assert_eq!(echoed, allowed.then_some(origin));
            if allowed {
                assert_eq!(answer.headers["access-control-allow-credentials"], "true");
            }
            assert!(answer.headers["vary"].to_str().expect("text").contains("origin"));
        }
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_read_errors_and_parts_of_files() {
    const PAGE: &str = "https://app.example.com";
    let world = World::start_with(SERVE, &[("ALLOWED_ORIGINS", PAGE)]).await;
    for (method, path, status) in [
        (Method::GET, "/no/such/route", 404),
        (Method::DELETE, "/services", 405),
        (Method::GET, "/auth/me", 401),
        (Method::POST, "/auth/login", 415),
    ] {
        let answer = World::answer(world.raw(method, path).header("origin", PAGE)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["access-control-allow-origin"]),
            (status, &PAGE.parse().expect("text"))
        );
        assert_eq!(answer.headers["x-request-id"], answer.body["requestId"].as_str().expect("an id"));
        let exposed = answer.headers["access-control-expose-headers"].to_str().expect("text");
        for header in ["x-request-id", "accept-ranges", "content-range", "etag"] {
            assert!(exposed.contains(header), "{header}: {exposed}");
        }
    }
    for (path, status) in
        [("/socket.io", 400), ("/socket.iox", 404), ("/socket.io/?EIO=4&transport=polling&sid=none", 400)]
    {
        let answer = World::answer(world.raw(Method::GET, path)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.headers["vary"].to_str().expect("text").contains("origin"), "{path}");
    }
}
