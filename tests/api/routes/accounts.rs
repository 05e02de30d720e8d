//! Accounts: the web client's registration, one-time codes, the profile, closing, export, places, the first admin.

use reqwest::Method;
use serde_json::{Value, json};
use testing::server::{Server, environment};
use testing::world::{PASSWORD, User, World, customer_registration, provider_registration, unique_email};
use testing::{Database, PATIENCE};

use crate::support::mail::{MailServer, code_of};
use crate::support::{SERVE, Scene, connect};

/// The provider's form of the web client: `state`, no `region`, a trade by name.
fn web_form(email: &str, service: &str) -> Value {
    let mut form = provider_registration(email);
    let fields = form.as_object_mut().expect("an object");
    fields.remove("region");
    for (field, value) in [
        ("state", json!("NY")),
        ("city", json!("New York")),
        ("location", json!("New York, NY")),
        ("serviceType", json!(service)),
        ("experience", Value::Null),
        ("experienceLevel", json!("3-5 years")),
        ("phoneNumber", json!("+15555550172")),
    ] {
        fields.insert(field.to_owned(), value);
    }
    form
}

#[tokio::test]
async fn the_web_clients_provider_form_registers() {
    let world = World::start(SERVE).await;
    let known = world.post("/auth/register", &web_form(&unique_email("known"), "plumbing")).await.expect(201);
    assert_eq!(known["user"]["role"], "service_provider");
    assert_eq!(
        world
            .number(&format!(
                "select count(*) from stm.providers p join stm.provider_services o on o.provider_id = p.id
                 join stm.services s on s.id = o.service_id
                 where p.user_id = {} and s.name = 'Plumbing' and p.experience_years = 3 and p.region = 'NY'",
                known["user"]["id"]
            ))
            .await,
        1
    );
    assert_eq!(world.number("select count(*) from stm.service_requests").await, 0);

    world.post("/auth/register", &web_form(&unique_email("new"), "Toilet Replacement")).await.expect(201);
    assert_eq!(
        world
            .number(
                "select count(*) from stm.service_requests r join stm.local_service_managers l on l.id = r.lsm_id
                 where r.service_name = 'Toilet Replacement' and r.kind = 'service_provider'"
            )
            .await,
        1
    );

    let mut nowhere = web_form(&unique_email("nowhere"), "Plumbing");
    nowhere["state"] = json!("Not specified");
    let refused = world.post("/auth/register", &nowhere).await.expect(400);
    assert!(refused["message"].as_str().is_some_and(|message| message.contains("LSM")), "{refused}");
}

/// A world whose e-mail goes to a server of this test.
async fn world_with_mail() -> (World, MailServer) {
    let server = MailServer::start().await;
    let settings = server.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    (World::start_with(SERVE, &settings).await, server)
}

#[tokio::test]
async fn a_forgotten_password_is_reset_by_a_code() {
    let (world, server) = world_with_mail().await;
    let user = world.customer().await;
    let email = json!({"email": user.email});
    let known = world.post("/auth/forgot-password", &email).await.expect(200);
    let unknown = world.post("/auth/forgot-password", &json!({"email": "nobody@example.com"})).await.expect(200);
    assert_eq!(known["message"], unknown["message"]);
    assert_eq!(known["email"], json!(user.email));

    let message = server.message(0).await;
    assert_eq!(message["to"], json!([user.email]));
    let first = code_of(&message);
    world.post("/auth/resend-password-reset-otp", &email).await.expect(200);
    let code = code_of(&server.message(1).await);
    let stored = world.text("select code_digest::text from stm.one_time_codes").await;
    assert!(!stored.contains(&code));

    let verify = async |code: &str| {
        world.post("/auth/verify-password-reset-otp", &json!({"email": user.email, "otp": code})).await
    };
    if first != code {
        verify(&first).await.expect(400);
    }
    assert_eq!(verify(&code).await.expect(200)["verified"], true);
    let reset = json!({"email": user.email, "otp": code, "newPassword": "a new password"});
    let answer = world.post("/auth/reset-password", &reset).await.expect(200);
    assert_eq!(answer["user"]["id"], json!(user.id));
    world.post("/auth/reset-password", &reset).await.expect(400);
    world.post("/auth/refresh", &json!({"refreshToken": user.refresh_token})).await.expect(401);
    world.post("/auth/login", &json!({"email": user.email, "password": PASSWORD})).await.expect(401);
    world.post("/auth/login", &json!({"email": user.email, "password": "a new password"})).await.expect(200);
    assert!(server.message(2).await["headers"]["Subject"].as_str().is_some_and(|text| text.contains("changed")));
    assert_eq!(server.messages().len(), 3, "nothing is sent to strangers, and nothing twice");
}

#[tokio::test]
async fn five_wrong_tries_end_a_code_and_resending_brings_none_back() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let forgot = async || world.post("/auth/forgot-password", &json!({"email": user.email})).await.expect(200);
    forgot().await;
    // Every code of the hour is tried, the right one among them, by many at once.
    let guess = async |code: u32| {
        let body = json!({"email": user.email, "otp": format!("{code:06}")});
        world.post("/auth/verify-password-reset-otp", &body).await.status.as_u16()
    };
    let statuses = futures_util::future::join_all((0..40).map(guess)).await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 400 | 429)), "{statuses:?}");
    if statuses.contains(&200) {
        return; // One in 25,000 runs guesses right.
    }
    assert_eq!(world.number("select tries::bigint from stm.one_time_codes").await, 5);
    let before = world.text("select code_digest::text from stm.one_time_codes").await;
    forgot().await;
    assert_eq!(world.text("select code_digest::text from stm.one_time_codes").await, before, "no new code");
    world.sql("update stm.one_time_codes set counted_since = now() - interval '61 minutes'").await;
    forgot().await;
    assert_eq!(world.number("select tries::bigint from stm.one_time_codes").await, 0);
}

#[tokio::test]
async fn an_email_address_is_confirmed_by_a_code() {
    let (world, server) = world_with_mail().await;
    let user = world.customer().await;
    world.post("/auth/send-email-verification-otp", &json!({"email": user.email})).await.expect(200);
    let code = code_of(&server.message(0).await);
    let body = json!({"email": user.email, "otp": code});
    world
        .post("/auth/reset-password", &json!({"email": user.email, "otp": code, "newPassword": "stolen password"}))
        .await
        .expect(400);
    assert_eq!(world.get_as(&user, "/auth/profile").await.expect(200)["is_email_verified"], false);
    assert_eq!(world.post("/auth/verify-email-otp", &body).await.expect(200)["verified"], true);
    assert_eq!(world.get_as(&user, "/auth/profile").await.expect(200)["is_email_verified"], true);
    world.post("/auth/verify-email-otp", &body).await.expect(400);
    world.sql("update stm.one_time_codes set expires_at = now()").await;
}

#[tokio::test]
async fn a_profile_is_shown_and_changed_in_every_role() {
    let scene = Scene::start().await;
    let (lsm, admin) = (scene.world.lsm().await, scene.world.admin().await);
    for (user, region) in
        [(&scene.customer, "New York"), (&scene.provider.user, "New York"), (&lsm, "New York"), (&admin, "")]
    {
        let profile = scene.world.get_as(user, "/auth/profile").await.expect(200);
        assert_eq!(profile["email"], json!(user.email));
        assert_eq!(profile["roleData"]["region"], region, "{profile}");
        assert!(profile["roleData"]["area"].is_string(), "{profile}");
    }
    let change =
        async |body: Value| scene.world.request(Method::PATCH, "/auth/me", Some(&lsm.token), Some(&body)).await;
    let changed = change(json!({"firstName": "Lee", "lastName": "", "phoneNumber": "+12125550100", "role": "admin"}));
    let changed = changed.await.expect(200);
    assert_eq!(
        (&changed["first_name"], &changed["last_name"], &changed["phone_number"], &changed["role"]),
        (&json!("Lee"), &json!("Local"), &json!("+12125550100"), &json!("local_service_manager"))
    );
    change(json!({"phoneNumber": "12345"})).await.expect(400);
    change(json!({"profilePicture": "javascript:alert(1)"})).await.expect(400);
}

async fn close(world: &World, user: &User, password: &str) -> testing::world::Answer {
    world.request(Method::DELETE, "/auth/me", Some(&user.token), Some(&json!({"password": password}))).await
}

#[tokio::test]
async fn a_closed_account_leaves_no_personal_data() {
    let scene = Scene::booked().await;
    let (world, user) = (&scene.world, &scene.customer);
    assert_eq!(close(world, user, PASSWORD).await.expect(409)["code"], "open_jobs");
    assert_eq!(close(world, &scene.provider.user, PASSWORD).await.expect(409)["code"], "open_jobs");
    close(world, &world.lsm().await, PASSWORD).await.expect(403);
    world
        .post_as(user, &format!("/customers/jobs/{}/action", scene.job), &json!({"action": "cancel"}))
        .await
        .expect(200);
    assert_eq!(close(world, user, "not the password").await.expect(400)["code"], "wrong_password");

    let export = world.get_as(user, "/auth/me/export").await.expect(200);
    assert_eq!(export["user"]["email"], json!(user.email));
    assert_eq!(export["jobs"].as_array().map(Vec::len), Some(1), "{export}");
    assert!(!export.to_string().contains("argon2"), "{export}");

    let (_socket, mut events) = connect(&world.server, user).await;
    close(world, user, PASSWORD).await.expect(200);
    let ended = async { while events.recv().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the socket ends");
    world.get_as(user, "/auth/profile").await.expect(401);
    world.post("/auth/refresh", &json!({"refreshToken": user.refresh_token})).await.expect(401);
    world.post("/auth/login", &json!({"email": user.email, "password": PASSWORD})).await.expect(401);
    assert_eq!(
        world
            .number(&format!(
                "select count(*) from stm.users u join stm.customers c on c.user_id = u.id
                 where u.id = {} and u.first_name || ' ' || u.last_name = 'Deleted user' and u.phone_number is null
                   and u.password_hash is null and u.closed_at is not null and c.address = '' and c.zipcode is null",
                user.id
            ))
            .await,
        1
    );
    let chats = world.get_as(&scene.provider.user, "/chat/provider/chats").await.expect(200);
    assert!(chats.to_string().contains("Deleted user"), "{chats}");
    world.post("/auth/register", &customer_registration(&user.email)).await.expect(201);

    close(world, &scene.provider.user, PASSWORD).await.expect(200);
    assert_eq!(world.number("select count(*) from stm.providers where status = 'inactive'").await, 1);
    assert_eq!(world.number("select count(*) from stm.provider_services").await, 0);
}

#[tokio::test]
async fn places_are_known_by_zip_code() {
    let world = World::start(SERVE).await;
    let places = async |zip: &str| world.get(&format!("/utils/zip/{zip}")).await.expect(200)["places"].clone();
    assert_eq!(places("10001").await, json!([]));
    let mut registration = customer_registration(&unique_email("ann"));
    registration["city"] = json!("New York");
    registration["state"] = json!("ny");
    world.post("/auth/register", &registration).await.expect(201);
    registration["email"] = json!(unique_email("eve"));
    registration["city"] = json!("<script>");
    world.post("/auth/register", &registration).await.expect(201);
    assert_eq!(places("10001").await, json!([{"city": "New York", "state": "NY"}]));
    world
        .sql("insert into stm.zip_places (zip_code, city, state, position) values ('10001', 'Manhattan', 'NY', 1)")
        .await;
    assert_eq!(places("10001").await, json!([{"city": "Manhattan", "state": "NY"}]));
    for bad in ["1000", "100011", "abcde"] {
        world.get(&format!("/utils/zip/{bad}")).await.expect(400);
    }
}

#[tokio::test]
async fn the_first_admin_is_made_once() {
    let settings = [("ADMIN_EMAIL", "Ada@Example.com"), ("ADMIN_PASSWORD", "the first password")];
    let database = Database::create().await;
    let server = Server::start(SERVE, &environment(&database, &settings));
    assert!(server.output().contains("still ADMIN_PASSWORD"), "{}", server.output());
    assert!(!server.output().contains("the first password"));
    drop(server);
    let later = [settings[0], ("ADMIN_PASSWORD", "another password")];
    let world = World::start_on(SERVE, database, &later).await;
    assert!(!world.server.output().contains("still ADMIN_PASSWORD"), "{}", world.server.output());
    let login = |password| json!({"email": "ada@example.com", "password": password});
    assert_eq!(world.post("/auth/login", &login("the first password")).await.expect(200)["user"]["role"], "admin");
    world.post("/auth/login", &login("another password")).await.expect(401);
    assert_eq!(world.number("select count(*) from stm.users where role = 'admin'").await, 1);
}

#[tokio::test]
async fn lsms_and_admins_never_register() {
    let world = World::start(SERVE).await;
    for role in [
        "LSM",
        "lsm",
        "ADMIN",
        "Admin",
        "admin",
        " admin",
        "LOCAL_SERVICE_MANAGER",
        "local_service_manager",
        "ａｄｍｉｎ",
    ] {
        let mut registration = customer_registration(&unique_email("eve"));
        registration["role"] = json!(role);
        world.post("/auth/register", &registration).await.expect(400);
    }
    assert_eq!(world.number("select count(*) from stm.users").await, 1, "only the LSM of the preparation");
}
