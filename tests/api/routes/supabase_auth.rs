//! Access tokens of Supabase Auth, on REST and on sockets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use testing::PATIENCE;
use testing::socket_io::{Client, Event, Failure, nowhere};
use testing::token::JWT_SECRET;
use testing::world::{Answer, PASSWORD, World, unique_email};
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::mail::{MailServer, code_of};
use crate::support::supabase::{LEGACY_SECRET, Mode, RSA_PUBLIC, SigningKey, SupabaseServer};
use crate::support::{SERVE, ask};

async fn start() -> (World, SupabaseServer) {
    let project = SupabaseServer::start().await;
    let world = World::start_with(SERVE, &project.settings()).await;
    (world, project)
}

/// Somebody whom only Supabase knows.
fn stranger() -> (Uuid, String) {
    (Uuid::now_v7(), unique_email("sue"))
}

async fn me(world: &World, token: &str) -> Answer {
    world.request(Method::GET, "/auth/me", Some(token), None).await
}

/// Why a socket with this token is refused.
async fn refusal(world: &World, token: &str) -> String {
    match Client::connect(world.server.port, token, nowhere()).await {
        Err(Failure::Refused(words)) => words,
        Err(Failure::Lost) => panic!("the connection is lost"),
        Ok(_) => panic!("the socket is open"),
    }
}

/// The accounts of a Supabase user.
async fn accounts_of(world: &World, user: Uuid) -> i64 {
    world
        .number(&format!(
            "select count(*) from stm.users u join stm.customers c on c.user_id = u.id where u.auth_uid = '{user}'"
        ))
        .await
}

#[tokio::test]
async fn a_user_of_supabase_is_a_customer() {
    let (world, project) = start().await;
    let (user, email) = stranger();
    let claims = project.claims(user, &email.to_uppercase());
    let legacy = SigningKey::hs256(LEGACY_SECRET.as_bytes());
    let tokens = [project.key("first"), project.key("rsa"), legacy].map(|key| key.sign(&claims));

    // All at once: one account.
    let first = futures_util::future::join_all((0..20).map(|at| me(&world, &tokens[at % 3]))).await;
    let ids: Vec<_> = first.into_iter().map(|answer| answer.expect(200)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(accounts_of(&world, user).await, 1);
    let shown = me(&world, &tokens[0]).await.expect(200);
    assert_eq!(
        shown,
        json!({"id": ids[0], "email": email, "firstName": "Sue", "lastName": "Base", "role": "customer"})
    );

    // What customers may, and nothing else.
    world.request(Method::GET, "/customer/jobs", Some(&tokens[0]), None).await.expect(200);
    world.request(Method::GET, "/provider/jobs", Some(&tokens[0]), None).await.expect(403);
    assert!(Client::connect(world.server.port, &tokens[1], nowhere()).await.is_ok());
    // Tokens of our own are as good as before.
    let ours = world.customer().await;
    me(&world, &ours.token).await.expect(200);

    // A socket may come first.
    let (other, email) = stranger();
    let token = project.token(other, &email);
    assert!(Client::connect(world.server.port, &token, nowhere()).await.is_ok());
    assert_eq!(accounts_of(&world, other).await, 1);
    assert_eq!(me(&world, &token).await.expect(200)["email"], json!(email));
}

#[tokio::test]
async fn without_a_project_its_tokens_open_nothing() {
    let project = SupabaseServer::start().await;
    let world = World::start(SERVE).await;
    let (user, email) = stranger();
    me(&world, &project.token(user, &email)).await.expect(401);
    assert_eq!(project.jwks_fetches(), 0);
}

/// Tokens that are refused, each with what is wrong with it.
fn forged(project: &SupabaseServer, user: Uuid, email: &str) -> Vec<(&'static str, String)> {
    let (ec, rsa) = (project.key("first"), project.key("rsa"));
    let good = project.claims(user, email);
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        ec.sign(&claims)
    };
    let without = |field: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(field);
        ec.sign(&claims)
    };
    let named = |key: SigningKey, kid: &str| key.named(kid).sign(&good);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = ec.sign(&good);
    let signature = signed.rsplit('.').next().expect("a signature");
    let under = |header: Value| format!("{}.{}.{signature}", part(&header), part(&good));
    let hs256 = |secret: &[u8], kid: &str| named(SigningKey::hs256(secret), kid);
    let jwk = |key: &SigningKey| key.public().to_string();
    let coordinates = {
        let (public, mut point) = (ec.public(), vec![4]);
        for name in ["x", "y"] {
            point.extend(URL_SAFE_NO_PAD.decode(public[name].as_str().expect("text")).expect("base64"));
        }
        point
    };
    let now = Utc::now().timestamp();
    let mut picture = good.clone();
    picture["user_metadata"]["avatar"] = json!("A".repeat(45_000));
    vec![
        ("alg none", format!("{}.{}.", part(&json!({"alg": "none"})), part(&good))),
        ("alg none with a kid", format!("{}.{}.", part(&json!({"alg": "none", "kid": "first"})), part(&good))),
        ("alg NoNe", under(json!({"alg": "NoNe", "kid": "first"}))),
        ("no alg", under(json!({"kid": "first"}))),
        ("the public RSA key as a secret", hs256(RSA_PUBLIC.as_bytes(), "rsa")),
        ("the trimmed public RSA key as a secret", hs256(RSA_PUBLIC.trim().as_bytes(), "")),
        ("the public RSA JWK as a secret", hs256(jwk(&rsa).as_bytes(), "rsa")),
        ("the public EC point as a secret", hs256(&coordinates, "first")),
        ("the public EC JWK as a secret", hs256(jwk(&ec).as_bytes(), "")),
        ("our own secret", hs256(JWT_SECRET.as_bytes(), "")),
        ("our own secret, by a kid", hs256(JWT_SECRET.as_bytes(), "first")),
        ("the legacy secret, by the kid of a key", hs256(LEGACY_SECRET.as_bytes(), "first")),
        ("no secret", hs256(b"", "")),
        ("another alg of the RSA key", {
            let mut key = rsa.clone();
            key.algorithm = Algorithm::RS512;
            key.sign(&good)
        }),
        ("the RSA key by the kid of the EC key", named(rsa.clone(), "first")),
        ("the EC key by the kid of the RSA key", named(ec.clone(), "rsa")),
        ("an unknown kid", named(ec.clone(), "unknown")),
        ("the kid of another key", SigningKey::es256("first").sign(&good)),
        ("no kid", named(ec.clone(), "")),
        ("no kid, RSA", named(rsa, "")),
        ("a key of its own in the header", under(json!({"alg": "ES256", "kid": "first", "jwk": ec.public()}))),
        ("nbf", with("nbf", json!(now + 300))),
        ("nbf as text", with("nbf", json!("now"))),
        ("exp", with("exp", json!(now - 1))),
        ("exp as text", with("exp", json!("never"))),
        ("no exp", without("exp")),
        ("another project's iss", with("iss", json!("https://other.supabase.co/auth/v1"))),
        ("iss with a slash", with("iss", json!(format!("{}/", project.issuer())))),
        ("iss in a list", with("iss", json!([project.issuer()]))),
        ("no iss", without("iss")),
        ("another aud", with("aud", json!("somebody"))),
        ("no aud", without("aud")),
        ("anon", with("role", json!("anon"))),
        ("service_role", with("role", json!("service_role"))),
        ("a database's role", with("role", json!("postgres"))),
        ("no role", without("role")),
        ("an anonymous sign-in", with("is_anonymous", json!(true))),
        ("a number as sub", with("sub", json!(1))),
        ("no sub", without("sub")),
        ("a refresh token", "v1.Mr5k9ZqkXbUc3wT7".into()),
        ("a changed signature", {
            let (start, end) = signed.split_at(signed.len() - 2);
            format!("{start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..])
        }),
        ("60 KB", ec.sign(&picture)),
    ]
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let (world, project) = start().await;
    let (user, email) = stranger();
    for (what, token) in forged(&project, user, &email) {
        let answer = me(&world, &token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        let words = refusal(&world, &token).await;
        assert!(words.starts_with("unauthorized: "), "{what}: {words}");
        for answer in [answer.body.to_string(), words] {
            assert!(!answer.contains("kid") && !answer.contains("iss") && !answer.contains("supabase"), "{answer}");
        }
    }
    assert_eq!(accounts_of(&world, user).await, 0);
    assert!(project.jwks_fetches() <= 2, "one at the start, one for all unknown kids: {}", project.jwks_fetches());
    me(&world, &project.token(user, &email)).await.expect(200);
    let log = world.server.output();
    assert!(!log.contains(&email) && !log.contains("eyJ") && !log.contains(LEGACY_SECRET), "{log}");
}

#[tokio::test]
async fn users_write_no_roles() {
    let (world, project) = start().await;
    let admin = world.admin().await;
    let (user, email) = stranger();
    let token = |user: Uuid, email: &str, app: Value, own: Value| {
        let mut claims = project.claims(user, email);
        claims["app_metadata"] = app;
        claims["user_metadata"] = own;
        project.key("first").sign(&claims)
    };
    for (app, own) in
        [(json!({}), json!({"role": "admin"})), (json!({"role": "admin"}), json!({})), (json!(7), json!([]))]
    {
        let token = token(user, &email, app, own);
        assert_eq!(me(&world, &token).await.expect(200)["role"], "customer", "nobody is made an admin");
        world.request(Method::GET, "/provider/jobs", Some(&token), None).await.expect(403);
    }

    // The account of an admin needs both: the row, and the role that only the project's owner writes.
    let known = Uuid::now_v7();
    world.sql(&format!("update stm.users set auth_uid = '{known}' where id = {}", admin.id)).await;
    for app in [json!({}), json!({"role": "customer"}), json!({"role": "local_service_manager"})] {
        me(&world, &token(known, &admin.email, app, json!({"role": "admin"}))).await.expect(401);
    }
    let theirs = token(known, &admin.email, json!({"role": "admin"}), json!({}));
    assert_eq!(me(&world, &theirs).await.expect(200)["role"], "admin");
}

#[tokio::test]
async fn an_account_is_linked_by_an_address_that_both_sides_have_verified() {
    let (world, project) = start().await;
    let verified = "update stm.users set email_verified_at = now() where id =";

    // Ours is not verified: whoever registered need not read its e-mail.
    let ours = world.customer().await;
    let user = Uuid::now_v7();
    project.knows(user, &ours.email, true);
    let token = project.token(user, &ours.email);
    assert_eq!(me(&world, &token).await.expect(409)["code"], "email_taken");
    let words = refusal(&world, &token).await;
    assert!(words.starts_with("unauthorized: an account with this e-mail address exists already"), "{words}");

    // Theirs is not verified, whatever user_metadata and email_confirmed_at say.
    world.sql(&format!("{verified} {}", ours.id)).await;
    let impostor = Uuid::now_v7();
    project.knows(impostor, &ours.email, false);
    me(&world, &project.token(impostor, &ours.email)).await.expect(409);
    let unknown = Uuid::now_v7();
    me(&world, &project.token(unknown, &ours.email)).await.expect(409);

    // While Supabase cannot be asked, nothing is linked.
    project.set_mode(Mode::Fails);
    me(&world, &token).await.expect(409);
    project.set_mode(Mode::Serves);

    // Both are.
    let linked = futures_util::future::join_all((0..5).map(|_| me(&world, &token))).await;
    assert!(linked.into_iter().all(|answer| answer.expect(200)["id"] == json!(ours.id)));
    world.post("/auth/login", &json!({"email": ours.email, "password": PASSWORD})).await.expect(200);
    me(&world, &project.token(impostor, &ours.email)).await.expect(409);

    // An admin's account, and a banned one, are not linked by an address alone.
    let (admin, banned) = (world.admin().await, world.customer().await);
    world.sql(&format!("update stm.users set banned_at = now() where id = {}", banned.id)).await;
    for other in [&admin, &banned] {
        world.sql(&format!("{verified} {}", other.id)).await;
        let user = Uuid::now_v7();
        project.knows(user, &other.email, true);
        me(&world, &project.token(user, &other.email)).await.expect(409);
    }
    let mut claims = project.claims(Uuid::now_v7(), "");
    claims["phone"] = json!("12125550123");
    assert_eq!(me(&world, &project.key("first").sign(&claims)).await.expect(403)["code"], "email_required");
}

#[tokio::test]
async fn bans_and_closed_accounts_take_effect() {
    let (world, project) = start().await;
    let (user, email) = stranger();
    let token = project.token(user, &email);
    let id = me(&world, &token).await.expect(200)["id"].clone();
    let (events, mut incoming) = mpsc::channel(16);
    let _socket = Client::connect(world.server.port, &token, events).await.expect("a connection");
    world.sql(&format!("update stm.users set banned_at = now() where id = {id}")).await;
    me(&world, &token).await.expect(401);
    assert_eq!(next(&mut incoming, "error").await["code"], "banned");
    assert!(refusal(&world, &token).await.starts_with("unauthorized"));

    // A closed account stays closed: the sign-in that goes on makes no new one.
    let ours = world.customer().await;
    let user = Uuid::now_v7();
    world.sql(&format!("update stm.users set auth_uid = '{user}' where id = {}", ours.id)).await;
    let token = project.token(user, &ours.email);
    let close = async |password: &str| {
        world.request(Method::DELETE, "/auth/me", Some(&token), Some(&json!({"password": password}))).await
    };
    close(PASSWORD).await.expect(200);
    me(&world, &token).await.expect(401);
    assert!(refusal(&world, &token).await.starts_with("unauthorized"));

    let (user, email) = stranger();
    let token = project.token(user, &email);
    let answer = world.request(Method::DELETE, "/auth/me", Some(&token), Some(&json!({"password": PASSWORD}))).await;
    assert_eq!(answer.expect(400)["code"], "no_password");
}

#[tokio::test]
async fn whoever_reads_the_e_mail_takes_the_account() {
    let (project, mail) = (SupabaseServer::start().await, MailServer::start().await);
    let mail_settings = mail.settings();
    let mut settings: Vec<_> = mail_settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.extend(project.settings());
    let world = World::start_with(SERVE, &settings).await;

    // Somebody signs in with another person's address, which Supabase has not verified.
    let (user, email) = stranger();
    let token = project.token(user, &email);
    let id = me(&world, &token).await.expect(200)["id"].clone();
    let (events, mut incoming) = mpsc::channel(16);
    let _socket = Client::connect(world.server.port, &token, events).await.expect("a connection");

    world.post("/auth/forgot-password", &json!({"email": email})).await.expect(200);
    let code = code_of(&mail.message(0).await);
    let reset = json!({"email": email, "otp": code, "newPassword": "a new password"});
    assert_eq!(world.post("/auth/reset-password", &reset).await.expect(200)["user"]["id"], id);
    assert_eq!(me(&world, &token).await.expect(409)["code"], "email_taken");
    assert_eq!(next(&mut incoming, "error").await["code"], "logged_out");

    // Once Supabase has verified the address too, both ways lead to the account.
    project.knows(user, &email, true);
    assert_eq!(me(&world, &token).await.expect(200)["id"], id);
}

#[tokio::test]
async fn keys_rotate_and_outlast_supabase() {
    let (world, project) = start().await;
    let (user, email) = stranger();
    let old = project.token(user, &email);
    me(&world, &old).await.expect(200);
    assert_eq!(project.jwks_fetches(), 1);

    // An unknown kid has the keys fetched, once for all who wait.
    project.rotate("second");
    let new = project.token(user, &email);
    for answer in futures_util::future::join_all((0..10).map(|_| me(&world, &new))).await {
        answer.expect(200);
    }
    me(&world, &old).await.expect(401);
    assert_eq!(project.jwks_fetches(), 2);

    // Not again within a minute, whoever names whatever.
    project.rotate("third");
    let newest = project.token(user, &email);
    for kid in ["third", "x", "", "../../", "second "] {
        let token = project.key("third").named(kid).sign(&project.claims(user, &email));
        me(&world, &token).await.expect(401);
    }
    me(&world, &newest).await.expect(401);
    assert_eq!(project.jwks_fetches(), 2);

    // What is cached serves on.
    for mode in [Mode::Fails, Mode::Stalls] {
        project.set_mode(mode);
        me(&world, &new).await.expect(200);
        assert!(Client::connect(world.server.port, &new, nowhere()).await.is_ok());
    }
}

#[tokio::test]
async fn lies_are_no_keys() {
    for mode in [Mode::Fails, Mode::Stalls, Mode::WrongType, Mode::IsHuge, Mode::IsGarbage, Mode::Redirects] {
        let project = SupabaseServer::start().await;
        project.set_mode(mode);
        // It starts all the same, and serves those whom it knows.
        let world = World::start_with(SERVE, &project.settings()).await;
        let (ours, (user, email)) = (world.customer().await, stranger());
        let token = project.token(user, &email);
        let waiting = futures_util::future::join_all((0..10).map(|_| me(&world, &token))).await;
        assert!(waiting.iter().all(|answer| answer.status == 401), "{mode:?}");
        me(&world, &ours.token).await.expect(200);
        assert!(world.get("/readyz").await.status.is_success(), "{mode:?}");
        assert!(project.jwks_fetches() <= 3, "{mode:?}: {}", project.jwks_fetches());
        let log = world.server.output();
        assert!(log.contains("the keys of Supabase Auth (SUPABASE_URL) could not be fetched"), "{mode:?}: {log}");
    }
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
async fn a_socket_ends_with_its_token_unless_it_authenticates_again() {
    let (world, project) = start().await;
    let ((user, email), (other, others_email)) = (stranger(), stranger());
    let token = |seconds: i64| {
        let mut claims = project.claims(user, &email);
        claims["exp"] = json!(Utc::now().timestamp() + seconds);
        project.key("first").sign(&claims)
    };
    let (events, mut incoming) = mpsc::channel(64);
    let socket = Client::connect(world.server.port, &token(90), events).await.expect("a connection");
    assert!(next(&mut incoming, "token_expiring").await["expiresAt"].is_string());
    for bad in [project.token(other, &others_email), forged(&project, user, &email)[0].1.clone()] {
        let refused = socket.ask("authenticate", &json!({"token": bad})).await.expect("an answer");
        assert_eq!(refused["error"]["code"], "unauthorized", "{refused}");
    }
    let renewed = ask(&socket, "authenticate", json!({"token": token(3600)})).await;
    assert!(renewed["expiresAt"].is_string(), "{renewed}");
    ask(&socket, "authenticate", json!({"token": token(5)})).await;
    assert_eq!(next(&mut incoming, "error").await["code"], "token_expired");
    assert!(refusal(&world, &token(-1)).await.starts_with("unauthorized"));
}
