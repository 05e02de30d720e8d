//! Limits by account and by address, behind a trusted proxy.

use reqwest::Method;
use serde_json::{Value, json};
use testing::server::Server;
use testing::world::{Answer, PASSWORD, User, World, booking, customer_registration, unique_email};

use crate::support::{SERVE, Scene};

/// The settings of a service behind a proxy on this machine, with these limits.
fn behind_a_proxy(limits: &str) -> [(&str, &str); 2] {
    [("TRUSTED_PROXIES", "127.0.0.0/8"), ("LIMITS", limits)]
}

/// Posts as somebody at this address does through the proxy.
async fn post_from(world: &World, server: &Server, address: &str, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", server.base_url());
    // What the client itself has written there stands in front.
    let header = format!("198.51.100.99, {address}");
    let request = world.client_of_http().request(Method::POST, url).header("x-forwarded-for", header).json(body);
    World::answer(request).await
}

async fn login_from(world: &World, server: &Server, address: &str, email: &str, password: &str) -> Answer {
    post_from(world, server, address, "/auth/login", &json!({"email": email, "password": password})).await
}

/// Registers a customer at this address.
async fn customer_at(world: &World, address: &str) -> String {
    let email = unique_email("ann");
    post_from(world, &world.server, address, "/auth/register", &customer_registration(&email)).await.expect(201);
    email
}

#[track_caller]
fn is_refused_for_now(answer: &Answer, policy: &str) {
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["code"], "too_many_requests");
    let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
    let wait_s: u32 = header("retry-after").parse().expect("seconds");
    assert!(wait_s > 0);
    assert!(header("ratelimit-policy").starts_with(&format!("\"{policy}\";q=")), "{}", header("ratelimit-policy"));
    assert_eq!(header("ratelimit"), format!("\"{policy}\";r=0;t={wait_s}"));
    let sentence = answer.body["detail"].as_str().expect("a sentence");
    assert!(sentence.starts_with("too many ") && sentence.contains(": try again in "), "{sentence}");
}

#[tokio::test]
async fn failed_logins_are_limited_in_all_processes_together_and_only_for_who_fails() {
    let world = World::start_with(SERVE, &behind_a_proxy("login-account-at-address=4/3600")).await;
    let other = Server::start(SERVE, &world.environment(&behind_a_proxy("login-account-at-address=4/3600")));
    let email = customer_at(&world, "203.0.113.1").await;
    for email in [&*email, "nobody@example.com"] {
        let fail = |server| login_from(&world, server, "203.0.113.66", email, "a wrong password");
        let together =
            [fail(&world.server), fail(&other), fail(&world.server), fail(&other), fail(&world.server), fail(&other)];
        let answers = futures_util::future::join_all(together).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(401), count(429)), (4, 2), "{email}");
        for answer in answers.iter().filter(|answer| answer.status == 429) {
            is_refused_for_now(answer, "login-account-at-address");
        }
    }
    let stranger = login_from(&world, &other, "203.0.113.66", &email, PASSWORD).await;
    is_refused_for_now(&stranger, "login-account-at-address");
    for _ in 0..6 {
        login_from(&world, &other, "203.0.113.1", &email, PASSWORD).await.expect(200);
    }
    let stored = world.text("select string_agg(to_jsonb(a)::text, ' ') from stm.attempts a").await;
    assert!(!stored.contains("203.0.113") && !stored.contains("example.com"), "{stored}");
}

#[tokio::test]
async fn strangers_everywhere_lock_nobody_out_of_a_known_place() {
    let world = World::start_with(SERVE, &behind_a_proxy("login-account=3/3600")).await;
    let email = customer_at(&world, "203.0.113.1").await;
    for last in 2..5 {
        login_from(&world, &world.server, &format!("203.0.113.{last}"), &email, "a wrong password").await.expect(401);
    }
    let elsewhere = login_from(&world, &world.server, "203.0.113.9", &email, PASSWORD).await;
    is_refused_for_now(&elsewhere, "login-account");
    login_from(&world, &world.server, "203.0.113.1", &email, PASSWORD).await.expect(200);
    world.sql("update stm.attempts set full_at = full_at - interval '20 minutes'").await;
    login_from(&world, &world.server, "203.0.113.9", &email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn an_office_logs_in_and_a_spray_of_passwords_ends() {
    let world = World::start_with(SERVE, &behind_a_proxy("login-address=5/3600")).await;
    let email = customer_at(&world, "203.0.113.1").await;
    for _ in 0..8 {
        login_from(&world, &world.server, "2001:db8:1:2::1", &email, PASSWORD).await.expect(200);
    }
    for attempt in 0..5 {
        let (address, email) = (format!("2001:db8:1:2::{attempt}"), unique_email("nobody"));
        login_from(&world, &world.server, &address, &email, "a wrong password").await.expect(401);
    }
    let counted = world.number("select count(*) from stm.attempts").await;
    let sixth =
        login_from(&world, &world.server, "2001:db8:1:2::99", &unique_email("nobody"), "a wrong password").await;
    is_refused_for_now(&sixth, "login-address");
    assert_eq!(world.number("select count(*) from stm.attempts").await, counted, "a refused attempt is not stored");
    login_from(&world, &world.server, "2001:db8:1:3::1", &email, "a wrong password").await.expect(401);
}

#[tokio::test]
async fn a_password_cannot_be_guessed_by_closing_the_account() {
    let world = World::start_with(SERVE, &[("LIMITS", "login-account=3/3600")]).await;
    let user = world.customer().await;
    let close = async || {
        let body = json!({"password": "a wrong password"});
        world.request(Method::DELETE, "/auth/me", Some(&user.token), Some(&body)).await
    };
    for _ in 0..3 {
        close().await.expect(400);
    }
    is_refused_for_now(&close().await, "login-account");
}

#[tokio::test]
async fn codes_are_limited_by_account_and_by_address() {
    let limits = "code-request-account=2/3600,code-request-address=4/3600,code-check-account=3/3600";
    let world = World::start_with(SERVE, &behind_a_proxy(limits)).await;
    let known = customer_at(&world, "203.0.113.1").await;
    let ask = async |email: &str, address: &str| {
        post_from(&world, &world.server, address, "/auth/forgot-password", &json!({"email": email})).await
    };
    for email in [&*known, "nobody@example.com"] {
        for last in 1..3 {
            ask(email, &format!("203.0.113.{last}")).await.expect(200);
        }
        is_refused_for_now(&ask(email, "203.0.113.3").await, "code-request-account");
    }
    for _ in 0..4 {
        ask(&unique_email("nobody"), "203.0.113.50").await.expect(200);
    }
    is_refused_for_now(&ask(&unique_email("nobody"), "203.0.113.50").await, "code-request-address");

    let body = json!({"email": "nobody@example.com", "otp": "123456", "newPassword": "a new password"});
    for path in ["/auth/verify-password-reset-otp", "/auth/reset-password", "/auth/verify-email-otp"] {
        post_from(&world, &world.server, "203.0.113.1", path, &body).await.expect(400);
    }
    let fourth = post_from(&world, &world.server, "203.0.113.1", "/auth/verify-email-otp", &body).await;
    is_refused_for_now(&fourth, "code-check-account");
}

#[tokio::test]
async fn what_is_counted_in_memory_is_limited_too() {
    let limits = "booking-account=2/3600,refresh-account=2/3600,register-account=2/3600,register-address=3/3600,\
                  search-account=4/3600,search-address=3/3600";
    let scene = Scene::on(World::start_with(SERVE, &behind_a_proxy(limits)).await).await;
    let world = &scene.world;

    let first = scene.customer_posts("/customer/booking", &booking(&scene.provider)).await;
    assert_eq!(first.headers["ratelimit-policy"], "\"booking-account\";q=2;w=3600");
    assert_eq!(first.headers["ratelimit"], "\"booking-account\";r=1");
    first.expect(201);
    scene.customer_posts("/jobs/create", &booking(&scene.provider)).await.expect(409);
    is_refused_for_now(&scene.customer_posts("/jobs/create", &booking(&scene.provider)).await, "booking-account");
    let another = world.customer().await;
    assert_ne!(world.post_as(&another, "/jobs/create", &booking(&scene.provider)).await.status, 429);

    let User { refresh_token, .. } = &scene.customer;
    for _ in 0..2 {
        world.post("/auth/refresh", &json!({"refreshToken": refresh_token})).await.expect(200);
    }
    let third = world.post("/auth/refresh", &json!({"refreshToken": refresh_token})).await;
    is_refused_for_now(&third, "refresh-account");

    let twice = customer_registration(&unique_email("twice"));
    for status in [201, 409] {
        world.post("/auth/register", &twice).await.expect(status);
    }
    is_refused_for_now(&world.post("/auth/register", &twice).await, "register-account");
    for _ in 0..3 {
        customer_at(world, "203.0.113.1").await;
    }
    let fourth = customer_registration(&unique_email("fourth"));
    is_refused_for_now(
        &post_from(world, &world.server, "203.0.113.1", "/auth/register", &fourth).await,
        "register-address",
    );

    let search = json!({});
    for path in ["/homepage/search/providers", "/services/smart-providers", "/homepage/search/providers"] {
        assert_ne!(post_from(world, &world.server, "203.0.113.1", path, &search).await.status, 429, "{path}");
    }
    is_refused_for_now(
        &post_from(world, &world.server, "203.0.113.1", "/services/smart-providers", &search).await,
        "search-address",
    );
    for _ in 0..4 {
        world.get_as(&another, "/services").await.expect(200);
    }
    is_refused_for_now(&world.get_as(&another, "/services/search").await, "search-account");
    world.get("/services").await.expect(200);
}

#[tokio::test]
async fn without_trusted_proxies_nobody_chooses_an_address() {
    let limits = "login-address=1/3600,login-account-at-address=1/3600";
    let world = World::start_with(SERVE, &[("LIMITS", limits)]).await;
    for _ in 0..3 {
        login_from(&world, &world.server, "203.0.113.1", "nobody@example.com", "a wrong password").await.expect(401);
    }
    assert_eq!(world.server.output().matches("TRUSTED_PROXIES").count(), 1, "{}", world.server.output());
}
