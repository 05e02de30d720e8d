//! Registration, login, refresh.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::PATIENCE;
use testing::world::{PASSWORD, REGION, User, World, customer_registration, provider_registration, unique_email};

use crate::support::SERVE;

/// A registration with one field changed; `null` takes it out.
fn with(mut registration: Value, field: &str, value: Value) -> Value {
    registration[field] = value;
    registration
}

#[tokio::test]
async fn a_customer_registers_and_logs_in() {
    let world = World::start(SERVE).await;
    let email = unique_email("ann");
    let registration = with(customer_registration(&email.to_uppercase()), "role", json!("CUSTOMER"));
    let session = world.post("/auth/register", &registration).await.expect(201);
    assert_eq!(session["user"]["email"], json!(email), "e-mail addresses are lower-cased");
    assert_eq!(session["user"]["role"], "customer");
    for key in ["accessToken", "refreshToken"] {
        assert!(session[key].as_str().is_some_and(|token| token.len() > 20), "{key}: {session}");
    }
    assert_eq!(
        session["user"].as_object().expect("a user").keys().map(String::as_str).collect::<Vec<_>>(),
        ["email", "firstName", "id", "lastName", "role"]
    );

    let login =
        world.post("/auth/login", &json!({"email": format!(" {email} "), "password": PASSWORD})).await.expect(200);
    assert_eq!(login["user"], session["user"]);
    let me = world
        .raw(reqwest::Method::GET, "/auth/me")
        .header("authorization", format!("bearer {}", login["accessToken"].as_str().expect("a token")));
    assert_eq!(World::answer(me).await.expect(200), session["user"]);

    let stored: String = sqlx::query_scalar("select password_hash from stm.users where email = $1")
        .bind(&email)
        .fetch_one(&mut world.database.session().await)
        .await
        .expect("a hash");
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    let taken = world.post("/auth/register", &customer_registration(&email)).await;
    assert_eq!((taken.status.as_u16(), &taken.body["code"]), (409, &json!("email_taken")), "{}", taken.body);
    assert_eq!(
        world
            .number(&format!(
                "select count(*) from stm.customers c join stm.users u on u.id = c.user_id where u.email = '{email}'"
            ))
            .await,
        1
    );
}

#[tokio::test]
async fn a_provider_registers_with_its_regions_lsm() {
    let world = World::start(SERVE).await;
    world
        .sql(&format!(
            "insert into stm.users (email, first_name, last_name, role)
             select 'lsm' || i || '@example.com', 'L', i::text, 'local_service_manager' from generate_series(2, 4) i;
             insert into stm.local_service_managers (user_id, region, area, status, created_at)
             select u.id, '{REGION}', area, status, now() - age
             from (values ('lsm2@example.com', 'Queens', 'active', interval '1 hour'),
                          ('lsm3@example.com', 'Queens', 'active', interval '2 hours'),
                          ('lsm4@example.com', 'Queens', 'inactive', interval '3 hours')) as l (email, area, status, age)
             join stm.users u on u.email = l.email;"
        ))
        .await;
    let lsm_of = async |registration: Value| -> String {
        let session = world.post("/auth/register", &registration).await.expect(201);
        let sql = "select u.email from stm.providers p join stm.local_service_managers l on l.id = p.lsm_id join stm.users u on u.id = l.user_id where p.user_id = $1";
        sqlx::query_scalar(sql)
            .bind(session["user"]["id"].as_i64())
            .fetch_one(&mut world.database.session().await)
            .await
            .expect("an LSM")
    };
    let registration = || provider_registration(&unique_email("pete"));
    assert_eq!(
        lsm_of(with(registration(), "region", json!("new york"))).await,
        "lsm3@example.com",
        "the oldest active one of the region"
    );
    assert_eq!(
        lsm_of(with(registration(), "area", json!("Queens"))).await,
        "lsm3@example.com",
        "the oldest active one of the area"
    );
    assert_eq!(
        lsm_of(with(registration(), "area", json!("Bronx"))).await,
        "lsm@example.com",
        "the one of the whole region"
    );
    assert_eq!(world.number("select count(*) from stm.notifications n join stm.users u on u.id = n.recipient_id where u.email = 'lsm3@example.com' and n.type = 'system'").await, 2);
    assert_eq!(world.number("select count(*) from stm.providers where status = 'pending'").await, 3);
    let zip_codes: Vec<String> =
        sqlx::query_scalar("select distinct zip_code from stm.provider_zip_codes where position = 1")
            .fetch_all(&mut world.database.session().await)
            .await
            .expect("ZIP codes");
    assert_eq!(zip_codes, ["10001"], "the first is the primary one");

    let nobody = world.post("/auth/register", &with(registration(), "region", json!("Alaska"))).await;
    assert!(nobody.body["message"].as_str().is_some_and(|message| message.contains("LSM")), "{}", nobody.body);
    assert_eq!(nobody.status, 400);
    assert_eq!(
        world.number("select count(*) from stm.users where role = 'service_provider'").await,
        3,
        "nothing is left of the refused one"
    );
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let world = World::start(SERVE).await;
    let refused = async |registration: &Value| -> Vec<String> {
        let answer = world.post("/auth/register", registration).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        let errors = answer.body["errors"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).clone();
        assert_eq!(answer.body["message"].as_array().expect("sentences").len(), errors.len());
        errors.iter().map(|error| error["field"].as_str().expect("a field").to_owned()).collect()
    };
    assert_eq!(
        refused(&json!({})).await,
        ["email", "phoneNumber", "password", "firstName", "lastName", "region", "role"]
    );
    let customer = || customer_registration(&unique_email("ann"));
    for (field, values) in [
        ("email", vec![json!("ann"), json!("ann@localhost"), json!(""), json!(null)]),
        ("phoneNumber", vec![json!("12345"), json!("+44 20 7946 0000")]),
        ("password", vec![json!("1234567"), json!("x".repeat(257))]),
        ("firstName", vec![json!(" "), json!("x".repeat(201)), json!("a\u{0}")]),
        ("role", vec![json!("LSM"), json!("ADMIN"), json!("admin"), json!("local_service_manager"), json!("Customer")]),
        ("zipcode", vec![json!("1000"), json!("ABCDE")]),
        ("address", vec![json!("")]),
    ] {
        for value in values {
            assert_eq!(refused(&with(customer(), field, value.clone())).await, [field], "{value}");
        }
    }
    let provider = || provider_registration(&unique_email("pete"));
    for (field, value, named) in [
        ("zipCodes", json!([]), "zipCodes"),
        ("zipCodes", json!(["10001", "x"]), "zipCodes[1]"),
        ("acceptedTerms", json!(false), "acceptedTerms"),
        ("businessName", json!(null), "businessName"),
        ("minPrice", json!(300), "minPrice"),
        ("minPrice", json!(-1), "minPrice"),
        ("maxPrice", json!(1.005), "maxPrice"),
        ("websiteUrl", json!("javascript:alert(1)"), "websiteUrl"),
        ("experience", json!(-1), "experience"),
    ] {
        assert_eq!(refused(&with(provider(), field, value.clone())).await, [named], "{value}");
    }
    assert_eq!(world.number("select count(*) from stm.users").await, 1, "only the LSM of the preparation");
}

/// Fields that only the service may set have no effect.
#[tokio::test]
async fn privileges_cannot_be_asked_for() {
    let world = World::start(SERVE).await;
    let mut registration = provider_registration(&unique_email("pete"));
    for (field, value) in [
        ("status", json!("active")),
        ("rating", json!(5)),
        ("id", json!(1)),
        ("lsmId", json!(7)),
        ("earnings", json!(1000)),
    ] {
        registration[field] = value;
    }
    world.post("/auth/register", &registration).await.expect(201);
    assert_eq!(
        world
            .number("select count(*) from stm.providers where status = 'pending' and rating = 0 and earnings_cents = 0")
            .await,
        1
    );
}

#[tokio::test]
async fn a_password_of_the_first_backend_is_rehashed_at_login() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let imported = bcrypt::hash(PASSWORD, 4).expect("a hash");
    world.sql(&format!("update stm.users set password_hash = '{imported}' where id = {}", user.id)).await;
    let login =
        async |password: &str| world.post("/auth/login", &json!({"email": user.email, "password": password})).await;
    login("not the password").await.expect(401);
    for _ in 0..2 {
        login(PASSWORD).await.expect(200);
        let stored = world.text(&format!("select password_hash from stm.users where id = {}", user.id)).await;
        assert!(stored.starts_with("$argon2id$"), "{stored}");
    }
    login("not the password").await.expect(401);
}

#[tokio::test]
async fn a_wrong_login_says_nothing_about_the_account() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let login = async |email: &str, password: &str| {
        world.post("/auth/login", &json!({"email": email, "password": password})).await
    };
    let wrong_password = login(&user.email, "not the password").await.expect(401);
    let nobody = login("nobody@example.com", PASSWORD).await.expect(401);
    for key in ["detail", "code", "message"] {
        assert_eq!(wrong_password[key], nobody[key]);
    }
    login("nonsense", PASSWORD).await.expect(401);
    login(&user.email, "short").await.expect(401);
    world.post("/auth/login", &json!({"email": user.email})).await.expect(400);

    world.sql(&format!("update stm.users set banned_at = now() where id = {}", user.id)).await;
    login(&user.email, "not the password").await.expect(401);
    assert_eq!(login(&user.email, PASSWORD).await.expect(403)["code"], "banned");
    world.get_as(&user, "/auth/me").await.expect(401);
    world.get_as(&user, "/customer/profile").await.expect(401);
    world.post("/auth/refresh", &json!({"refreshToken": user.refresh_token})).await.expect(403);
}

/// Waits until the user is let in no longer.
async fn refused(world: &World, user: &User) {
    let started = Instant::now();
    while world.get_as(user, "/auth/me").await.status != 401 {
        assert!(started.elapsed() < PATIENCE, "the user is still let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for path in ["/customer/profile", "/notifications"] {
        world.get_as(user, path).await.expect(401);
    }
}

/// Also callers whose login was checked a moment ago.
#[tokio::test]
async fn whoever_is_banned_logged_out_or_gone_is_refused() {
    let world = World::start(SERVE).await;
    let [banned, gone, out] = [world.customer().await, world.customer().await, world.customer().await];
    for user in [&banned, &gone, &out] {
        world.get_as(user, "/auth/me").await.expect(200);
    }
    world.sql(&format!("update stm.users set banned_at = now() where id = {}", banned.id)).await;
    refused(&world, &banned).await;
    world
        .sql(&format!("delete from stm.customers where user_id = {0}; delete from stm.users where id = {0}", gone.id))
        .await;
    refused(&world, &gone).await;
    world.post_as(&out, "/auth/logout", &json!({})).await.expect(200);
    refused(&world, &out).await;
}

#[tokio::test]
async fn a_lost_answer_does_not_end_the_login_but_a_stolen_token_does() {
    let world = World::start(SERVE).await;
    let refresh = async |token: &Value| world.post("/auth/refresh", &json!({"refreshToken": token})).await;
    let later = "update stm.refresh_tokens set replaced_at = replaced_at - interval '31 seconds',
                     created_at = created_at - interval '31 seconds'";

    let user = world.customer().await;
    let token = json!(user.refresh_token);
    refresh(&token).await.expect(200);
    world.sql(later).await;
    refresh(&token).await.expect(200);
    world.sql(later).await;
    let received = refresh(&token).await.expect(200);
    world.sql(later).await;
    refresh(&received["refreshToken"]).await.expect(200);
    world.sql(later).await;
    refresh(&token).await.expect(401);
    refresh(&received["refreshToken"]).await.expect(401);

    let user = world.customer().await;
    let token = json!(user.refresh_token);
    let owner = refresh(&token).await.expect(200);
    world.sql(later).await;
    let thief = refresh(&token).await.expect(200);
    world.sql(later).await;
    refresh(&owner["refreshToken"]).await.expect(401);
    refresh(&thief["refreshToken"]).await.expect(401);
}

#[tokio::test]
async fn parallel_refreshes_leave_one_login() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let body = json!({"refreshToken": user.refresh_token});
    let answers = futures_util::future::join_all((0..20).map(|_| world.post("/auth/refresh", &body))).await;
    for answer in answers {
        answer.expect(200);
    }
    let families = format!("select count(distinct family_id) from stm.refresh_tokens where user_id = {}", user.id);
    assert_eq!(world.number(&families).await, 1);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_stolen_one_ends_the_login() {
    let world = World::start(SERVE).await;
    let user = world.customer().await;
    let refresh = async |token: &Value| world.post("/auth/refresh", &json!({"refreshToken": token})).await;
    let token = json!(user.refresh_token);
    let second = refresh(&token).await.expect(200);
    assert_ne!(second["refreshToken"], token);
    let tab = refresh(&token).await.expect(200);
    assert_ne!(tab["refreshToken"], second["refreshToken"], "tabs refresh in parallel");
    world.request(reqwest::Method::GET, "/auth/me", second["accessToken"].as_str(), None).await.expect(200);

    refresh(&second["refreshToken"]).await.expect(200);
    let other_login = world.post("/auth/login", &json!({"email": user.email, "password": PASSWORD})).await.expect(200);
    world.sql("update stm.refresh_tokens set replaced_at = replaced_at - interval '31 seconds'").await;
    refresh(&token).await.expect(401);
    for descendant in [&second, &tab] {
        refresh(&descendant["refreshToken"]).await.expect(401);
    }
    refresh(&other_login["refreshToken"]).await.expect(200);

    for bad in [json!("nonsense"), json!("x".repeat(10_000))] {
        refresh(&bad).await.expect(401);
    }
    for missing in [json!(""), json!(null)] {
        refresh(&missing).await.expect(400);
    }
    world.sql("update stm.refresh_tokens set expires_at = now()").await;
    refresh(&other_login["refreshToken"]).await.expect(401);
    let in_clear = format!(
        "select count(*) from stm.refresh_tokens where encode(token_digest, 'escape') like '%{}%'",
        &user.refresh_token[..10]
    );
    assert_eq!(world.number(&in_clear).await, 0);
}
