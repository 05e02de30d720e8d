//! Forged tokens: all are refused, by REST and by the sockets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use testing::socket_io::{Client, nowhere};
use testing::token::{JWT_SECRET, sign};
use testing::world::World;

use crate::support::SERVE;

/// A token with a signature of its own making.
fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let now = chrono::Utc::now().timestamp();
    let good = json!({
        "sub": user.id, "email": user.email, "role": "customer", "typ": "access", "iat": now, "exp": now + 600
    });
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        sign(&claims, JWT_SECRET)
    };
    let signed = sign(&good, JWT_SECRET);
    world.request(Method::GET, "/auth/me", Some(&signed), None).await.expect(200);
    let signature = signed.rsplit('.').next().expect("a signature");

    let forged = [
        ("alg none", unsigned(&json!({"alg": "none"}), &good, "")),
        ("alg None", unsigned(&json!({"alg": "None", "typ": "JWT"}), &good, "")),
        ("no alg", unsigned(&json!({"typ": "JWT"}), &good, signature)),
        ("another alg", unsigned(&json!({"alg": "RS256", "kid": "1"}), &good, signature)),
        ("another curve", unsigned(&json!({"alg": "ES256", "kid": "1"}), &good, signature)),
        ("another secret", sign(&good, "another secret of thirty-two bytes")),
        ("no secret", sign(&good, "")),
        ("an admin's claims", unsigned(&json!({"alg": "HS256"}), &json!({"sub": 1, "role": "admin"}), signature)),
        ("nbf", with("nbf", json!(now + 300))),
        ("exp", with("exp", json!(now - 1))),
        ("exp as text", with("exp", json!("never"))),
        ("no exp", with("exp", Value::Null)),
        ("anon", with("role", json!("anon"))),
        ("service_role", with("role", json!("service_role"))),
        ("refresh as access", with("typ", json!("refresh"))),
        ("a refresh token", user.refresh_token.clone()),
        ("nobody", with("sub", json!(i64::MAX))),
        ("a uuid", with("sub", json!("0190f3a2-0000-7000-8000-000000000000"))),
        ("a login that is not", with("sid", json!("0190f3a2-0000-7000-8000-000000000000"))),
        ("10 KB", format!("{signed}{}", "A".repeat(10_000))),
    ];
    for (what, token) in &forged {
        assert_eq!(world.request(Method::GET, "/auth/me", Some(token), None).await.status, 401, "{what}");
        assert!(Client::connect(world.server.port, token, nowhere()).await.is_err(), "{what} opens a socket");
    }
    // The HTTP layer refuses a head of this size before anybody reads a token.
    let huge = world.raw(Method::GET, "/auth/me").bearer_auth("A".repeat(200_000)).send().await.expect("an answer");
    assert_eq!(huge.status(), 431);
    for role in ["LSM", "lsm", "Lsm", " LSM ", "ADMIN", "Admin", "local_service_manager", "LOCAL_SERVICE_MANAGER", "4"]
    {
        let mut registration = testing::world::customer_registration(&testing::world::unique_email("eve"));
        registration["role"] = json!(role);
        assert_eq!(world.post("/auth/register", &registration).await.status, 400, "{role}");
    }
    world.request(Method::GET, "/auth/me", Some(&signed), None).await.expect(200);
}
