//! Secrets that must show nowhere: canary words in every setting and every request, with the log at its most talkative and
//! the database failing.

use std::time::Instant;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testing::token::sign;
use testing::world::{Answer, World};
use testing::{Database, PATIENCE, Stack, execute};

use crate::support::{PASSWORD_OF_THE_STACK, SERVE, Scene};

/// What is put into settings.
const JWT_SECRET: &str = "canary-of-the-signing-key-0123456789";
const SMTP_PASSWORD: &str = "canary-of-the-mail-server";
const ADMIN_PASSWORD: &str = "canary-of-the-first-admin";

/// What clients send.
const PASSWORD: &str = "canary-of-a-password";
const NEW_PASSWORD: &str = "canary-of-a-new-password";
const CODE: &str = "918273";
const TOKEN: &str = "canary-of-a-refresh-token";
const MESSAGE: &str = "canary-of-a-message";

const CANARIES: [&str; 9] =
    [JWT_SECRET, SMTP_PASSWORD, ADMIN_PASSWORD, PASSWORD, NEW_PASSWORD, CODE, TOKEN, MESSAGE, PASSWORD_OF_THE_STACK];

/// The requests whose bodies hold secrets, and the words of a caller. All answers in one text.
async fn talk(world: &World, access_token: &str, chat: &str) -> String {
    let email = "ann@example.com";
    let requests: [(&str, Value); 8] = [
        ("/auth/login", json!({"email": email, "password": PASSWORD})),
        ("/auth/login", json!({"email": email, "password": [PASSWORD]})),
        ("/auth/register", json!({"email": email, "password": PASSWORD, "role": PASSWORD})),
        ("/auth/refresh", json!({"refreshToken": TOKEN})),
        ("/auth/forgot-password", json!({"email": email})),
        ("/auth/verify-password-reset-otp", json!({"email": email, "otp": CODE})),
        ("/auth/reset-password", json!({"email": email, "otp": CODE, "newPassword": NEW_PASSWORD})),
        ("/auth/verify-email-otp", json!({"email": email, "otp": CODE})),
    ];
    let forged = format!("{access_token}x");
    let reads = ["/auth/me", "/customer/profile", &format!("/chat/{chat}/messages"), "/health", "/readyz", "/metrics"]
        .map(str::to_owned);
    let documents = ["/openapi.json", "/asyncapi.json", "/no/such/route"].map(str::to_owned);
    let posts = requests.iter().map(|(path, body)| world.post(path, body));
    let gets = reads.iter().chain(&documents).flat_map(|path| {
        [Some(access_token), Some(&*forged), None].map(|token| world.request(Method::GET, path, token, None))
    });
    let (posts, gets) = tokio::join!(join_all(posts), join_all(gets));
    let note = |answer: &Answer| format!("{} {:?} {}\n", answer.status, answer.headers, answer.body);
    posts.iter().chain(&gets).map(note).collect()
}

fn check(what: &str, text: &str, more: &[&str]) {
    for canary in CANARIES.iter().chain(more) {
        let at = text.find(canary);
        let line = at.and_then(|at| text[..at].rfind('\n').map(|from| &text[from..(at + 60).min(text.len())]));
        assert!(at.is_none(), "{what} shows `{canary}`: {line:?}");
    }
}

/// A token of a user's, signed with the canary.
fn token_of(user: i64) -> String {
    let exp = chrono::Utc::now().timestamp() + 3600;
    let claims =
        json!({"sub": user, "email": "ann@example.com", "role": "customer", "typ": "access", "iat": 0, "exp": exp});
    sign(&claims, JWT_SECRET)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_shown_whatever_fails() {
    let stack = Stack::up().await;
    let database: Database = stack.database().await;
    let smtp = format!("smtp://stm:{SMTP_PASSWORD}@127.0.0.1:1");
    let settings = [
        ("JWT_SECRET", JWT_SECRET),
        ("SMTP_URL", &smtp),
        ("MAIL_FROM", "STM <stm@example.com>"),
        ("ADMIN_EMAIL", "ada@example.com"),
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("STATEMENT_TIMEOUT_S", "1"),
        ("RUST_LOG", "trace"),
    ];
    let scene = Scene::on(World::start_on(SERVE, database, &settings).await).await.book().await;
    let world = &scene.world;
    world.sql(&format!("update stm.users set email = 'ann@example.com' where id = {}", scene.customer.id)).await;
    let token = token_of(scene.customer.id);
    let secrets = [&*token, &*scene.customer.refresh_token, &*scene.provider.user.token];

    let (socket, _events) = crate::support::connect(&world.server, &scene.customer).await;
    crate::support::join(&socket, &scene.chat).await;
    let say = async || socket.ask("send_message", &json!({"chatId": scene.chat, "message": MESSAGE})).await;
    assert!(say().await.expect("an answer")["error"].is_null());
    let mut answers = talk(world, &token, &scene.chat).await.replace(MESSAGE, "a message that a member reads");

    let mut session = world.database.session().await;
    let rename = "alter table stm.users rename to people; alter table stm.messages rename to letters;
                  alter table stm.refresh_tokens rename to tickets; alter table stm.one_time_codes rename to codes";
    execute(&mut session, rename).await;
    answers += &talk(world, &token, &scene.chat).await;
    answers.push_str(&say().await.map_or_else(|error| format!("{error:?}"), |answer| answer.to_string()));
    let back = "alter table stm.people rename to users; alter table stm.letters rename to messages;
                alter table stm.tickets rename to refresh_tokens; alter table stm.codes rename to one_time_codes";
    execute(&mut session, back).await;

    stack.run("kill-pooler").await;
    answers += &talk(world, &token, &scene.chat).await;
    stack.run("kill-postgres").await;
    answers.push_str(&say().await.map_or_else(|error| format!("{error:?}"), |answer| answer.to_string()));

    check("an answer", &answers, &secrets);
    assert!(answers.contains("500") && answers.contains("503"), "the control: nothing has failed");
    let started = Instant::now();
    while !world.server.output().contains("DEBUG") {
        assert!(started.elapsed() < PATIENCE, "the control: nothing is logged");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    check("the log", &world.server.output(), &secrets);
}

#[test]
fn no_secret_is_in_the_settings_own_words() {
    let values = |name: &str| {
        Some(match name {
            "DATABASE_URL" => "postgres://stm:canary-of-a-database@127.0.0.1:6543/stm",
            "DIRECT_URL" => "postgres://stm:canary-of-a-database@127.0.0.1:5432/stm",
            "JWT_SECRET" => JWT_SECRET,
            "SMTP_URL" => "smtps://stm:canary-of-the-mail-server@mail.example.com",
            "MAIL_FROM" => "stm@example.com",
            "ADMIN_EMAIL" => "ada@example.com",
            "ADMIN_PASSWORD" => ADMIN_PASSWORD,
            _ => return None,
        })
    };
    let config = stm_backend::Config::from_lookup(|name| values(name).map(str::to_owned)).expect("a configuration");
    check("Debug", &format!("\n{config:?}\n{config:#?}"), &["canary-of-a-database"]);
}
