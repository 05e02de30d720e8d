//! Guesses of passwords and codes: what a stranger learns, and how far guessing gets.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use testing::server::Server;
use testing::world::{Answer, World};
use testing::{PATIENCE, process::nap};

use crate::support::SERVE;

/// Every guess reaches the code itself.
const NO_OTHER_LIMITS: &str = "code-check-account=1000000/3600,code-check-address=1000000/3600,code-request-account=1000000/3600,code-request-address=1000000/3600";

async fn post(world: &World, server: &Server, path: &str, body: &Value) -> Answer {
    World::answer(world.client_of_http().post(format!("{}{path}", server.base_url())).json(body)).await
}

/// The code that a process has shown in its log.
fn code_in_log(server: &Server) -> String {
    let started = Instant::now();
    loop {
        let output = server.output();
        let word = output.split("e-mail to ").nth(1).and_then(|mail| {
            mail.split_whitespace().find(|word| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit()))
        });
        if let Some(code) = word {
            return code.to_owned();
        }
        assert!(started.elapsed() < PATIENCE, "no code: {output}");
        nap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_guesses_at_two_processes_find_no_code() {
    let settings = [("LIMITS", NO_OTHER_LIMITS)];
    let world = World::start_with(SERVE, &settings).await;
    let user = world.customer().await;
    post(&world, &world.server, "/auth/forgot-password", &json!({"email": user.email})).await.expect(200);
    let right = tokio::task::block_in_place(|| code_in_log(&world.server));
    let other = Server::start(SERVE, &world.environment(&settings));

    let wrong = (0..).map(|code| format!("{code:06}")).filter(|code| *code != right);
    let guesses = wrong.take(1000).enumerate().map(|(number, code)| {
        let (world, other, email) = (&world, &other, &user.email);
        async move {
            let server = if number % 2 == 0 { &world.server } else { other };
            if number % 50 == 49 {
                post(world, server, "/auth/resend-password-reset-otp", &json!({"email": email})).await;
            }
            let path = if number % 10 == 0 { "/auth/reset-password" } else { "/auth/verify-password-reset-otp" };
            let body = json!({"email": email, "otp": code, "newPassword": "a stolen account"});
            post(world, server, path, &body).await.status.as_u16()
        }
    });
    let answers: Vec<_> = stream::iter(guesses).buffer_unordered(50).collect().await;
    // A busy machine refuses some of so many at once.
    assert!(answers.iter().all(|status| matches!(status, 400 | 429 | 503)), "{answers:?}");
    assert_eq!(world.number("select tries::bigint from stm.one_time_codes").await, 5);
    let body = json!({"email": user.email, "otp": right});
    for server in [&world.server, &other] {
        let answer = post(&world, server, "/auth/verify-password-reset-otp", &body).await.expect(400);
        assert_eq!(answer["code"], "wrong_code", "the right one does not count any more");
    }
}

#[tokio::test]
async fn a_failed_login_looks_and_takes_the_same_whether_the_account_exists_or_not() {
    let world = World::start(SERVE).await;
    let (known, imported, banned) = (world.customer().await, world.customer().await, world.customer().await);
    // What the first backend's hashes cost.
    let hash = bcrypt::hash("another password", 10).expect("a hash");
    world.sql(&format!("update stm.users set password_hash = '{hash}' where id = {}", imported.id)).await;
    world.sql(&format!("update stm.users set banned_at = now() where id = {}", banned.id)).await;
    let mut bodies = Vec::new();
    for email in [&*known.email, &imported.email, &banned.email, "nobody@example.com"] {
        for (path, status, least_ms) in [("/auth/login", 401, 300), ("/auth/forgot-password", 200, 300)] {
            let began = Instant::now();
            let body = json!({"email": email, "password": "a wrong password"});
            let answer = world.post(path, &body).await;
            assert!(began.elapsed() >= Duration::from_millis(least_ms), "{path} {email}: {:?}", began.elapsed());
            println!("{path} {email}: {:?}", began.elapsed());
            assert_eq!(answer.status, status, "{}", answer.body);
            bodies.push((path, answer.body["message"].clone()));
        }
    }
    let (first, others) = bodies.split_at(2);
    assert!(others.chunks(2).all(|bodies| bodies == first), "{bodies:?}");
}
