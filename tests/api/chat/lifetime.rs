//! How long sockets live.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use testing::PATIENCE;
use testing::socket_io::{Client, Event, nowhere};
use testing::token::{JWT_SECRET, access_token, sign};
use testing::world::{User, World};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{SERVE, ask};

/// A token of the user's login that expired an hour ago.
async fn expired(world: &World, user: &User) -> String {
    let login =
        world.text(&format!("select family_id::text from stm.refresh_tokens where user_id = {}", user.id)).await;
    let exp = Utc::now().timestamp() - 3600;
    let claims = json!({
        "sub": user.id, "email": user.email, "role": "customer", "typ": "access", "sid": login, "iat": exp - 60, "exp": exp
    });
    sign(&claims, JWT_SECRET)
}

async fn next(incoming: &mut mpsc::Receiver<Event>, name: &str) -> Value {
    loop {
        let event = timeout(PATIENCE, incoming.recv()).await.expect("in time").expect("an event");
        if event.is(name) {
            return event.payload();
        }
    }
}

#[tokio::test]
async fn a_socket_lives_as_long_as_its_login() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let token = expired(&world, &user).await;
    world.request(reqwest::Method::GET, "/auth/me", Some(&token), None).await.expect(401);

    let (events, mut incoming) = mpsc::channel(64);
    let client = Client::connect(world.server.port, &format!("bEARER {token}"), events).await.expect("a connection");
    ask(&client, "authenticate", json!({"token": user.token})).await;
    world.sql("update stm.refresh_tokens set revoked_at = now()").await;
    assert_eq!(next(&mut incoming, "error").await["code"], "logged_out");
    assert!(Client::connect(world.server.port, &token, nowhere()).await.is_err(), "the login has ended");
}

#[tokio::test]
async fn without_a_grace_an_expired_token_opens_nothing() {
    let world = World::start_with(SERVE, &[("SOCKET_TOKEN_GRACE_S", "0")]).await;
    let user = world.customer().await;
    let token = expired(&world, &user).await;
    assert!(Client::connect(world.server.port, &token, nowhere()).await.is_err());
}

#[tokio::test]
async fn a_token_without_a_login_is_renewed_in_time() {
    let world = World::start(SERVE).await;
    let (user, other) = (world.customer().await, world.customer().await);
    let token = |seconds| access_token(user.id, &user.email, "customer", Duration::from_secs(seconds));
    let (events, mut incoming) = mpsc::channel(64);
    let client = Client::connect(world.server.port, &token(90), events).await.expect("a connection");
    assert!(next(&mut incoming, "token_expiring").await["expiresAt"].is_string());

    for bad in ["a.b.c", &other.token] {
        let refused = client.ask("authenticate", &json!({"token": bad})).await.expect("an answer");
        assert_eq!(refused["error"]["code"], "unauthorized", "{refused}");
    }
    let renewed = ask(&client, "authenticate", json!({"token": token(3600)})).await;
    assert!(renewed["expiresAt"].is_string(), "{renewed}");
    ask(&client, "authenticate", json!({"token": token(5)})).await;
    assert_eq!(next(&mut incoming, "error").await["code"], "token_expired");
}
