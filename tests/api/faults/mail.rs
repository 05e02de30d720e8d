//! E-mail while the mail server refuses, stalls and dies, and with several processes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::PATIENCE;
use testing::server::{Server, environment};
use testing::world::World;

use crate::support::mail::MailServer;
use crate::support::{SERVE, Scene};

async fn start() -> (World, MailServer) {
    let server = MailServer::start().await;
    let settings = server.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    (World::start_with(SERVE, &settings).await, server)
}

/// Waits until so many e-mails have a status.
async fn until(world: &World, status: &str, count: i64) {
    let started = Instant::now();
    let sql = format!("select count(*) from stm.emails where status = '{status}'");
    while world.number(&sql).await != count {
        assert!(started.elapsed() < PATIENCE, "no {count} e-mails are {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn forget(world: &World) {
    let user = world.customer().await;
    world.post("/auth/forgot-password", &json!({"email": user.email})).await.expect(200);
}

/// Makes what waits due at once, instead of after its back-off or lease.
async fn hurry(world: &World) {
    world.sql("update stm.emails set next_attempt_at = now() where status in ('queued', 'sending')").await;
}

#[tokio::test]
async fn a_refused_email_is_given_up_and_a_deferred_one_tried_again() {
    let (world, server) = start().await;
    server.set_mode("refuse");
    forget(&world).await;
    until(&world, "dead", 1).await;

    server.set_mode("defer");
    forget(&world).await;
    let first = server.message(1).await;
    until(&world, "queued", 1).await;
    server.set_mode("accept");
    hurry(&world).await;
    until(&world, "sent", 1).await;
    let second = server.message(2).await;
    assert_eq!(first["headers"]["Message-ID"], second["headers"]["Message-ID"]);
    assert_eq!(server.messages().len(), 3);
    assert_eq!(
        world
            .number("select count(*) from stm.emails where status = 'sent' and body_text is null and recipient is null")
            .await,
        1,
        "what was sent is erased"
    );
    let log = world.server.output();
    assert!(!log.contains("@example.com"), "no address is logged: {log}");
}

#[tokio::test]
async fn an_email_survives_a_server_that_dies() {
    let (world, mut server) = start().await;
    server.set_mode("die");
    forget(&world).await;
    let lost = server.message(0).await;
    until(&world, "queued", 1).await;
    server.set_mode("accept");
    server.restart().await;
    hurry(&world).await;
    assert_eq!(server.message(0).await["headers"]["Message-ID"], lost["headers"]["Message-ID"]);
    until(&world, "sent", 1).await;
}

#[tokio::test]
async fn a_stalled_server_holds_no_connection_of_the_database() {
    let (world, server) = start().await;
    server.set_mode("stall");
    forget(&world).await;
    server.message(0).await;
    // Until the attempt, whose lease is 120 seconds, has lasted for two.
    let lasting = "select count(*) from stm.emails
         where status = 'sending' and next_attempt_at < now() + interval '118 seconds'";
    let started = Instant::now();
    while world.number(lasting).await == 0 {
        assert!(started.elapsed() < PATIENCE, "no attempt lasts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        world
            .number(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and state like 'idle in transaction%'
                   and state_change < now() - interval '1 second'"
            )
            .await,
        0
    );
}

/// The connection of an attempt that was cut off is not used again: the late 250 on it would answer the next e-mail.
#[tokio::test]
async fn a_late_answer_answers_nothing_else() {
    let server = MailServer::start().await;
    let settings = server.settings();
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("SMTP_TIMEOUT_S", "3"));
    let world = World::start_with(SERVE, &settings).await;
    server.set_mode("late");
    forget(&world).await;
    until(&world, "queued", 1).await;
    // Until the late answer is there.
    let late = "select count(*) from stm.emails where created_at < now() - interval '10 seconds'";
    let started = Instant::now();
    while world.number(late).await == 0 {
        assert!(started.elapsed() < PATIENCE, "no e-mail grows old");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.set_mode("refuse");
    hurry(&world).await;
    until(&world, "dead", 1).await;
}

#[tokio::test]
async fn several_processes_send_each_email_once() {
    let (world, server) = start().await;
    let settings = server.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _second = Server::start(SERVE, &environment(&world.database, &settings));
    let user = world.customer().await;
    world
        .sql(&format!(
            "insert into stm.emails (user_id, recipient, subject, body_text, body_html)
             select {}, 'a' || i || '@example.com', 'Subject', 'Text', '<p>Text</p>' from generate_series(1, 60) i",
            user.id
        ))
        .await;
    until(&world, "sent", 60).await;
    let mut ids: Vec<_> =
        server.messages().iter().map(|message| message["headers"]["Message-ID"].to_string()).collect();
    assert_eq!(ids.len(), 60);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}

/// The provider's templates cannot begin another header, and HTML in them is text.
#[tokio::test]
async fn job_emails_are_in_the_providers_words() {
    let (world, server) = start().await;
    let scene = Scene::on(world).await.book().await;
    let templates = json!({
        "job_accepted_subject": "Dear [CUSTOMER_NAME]\r\nBcc: all@example.com",
        "job_accepted_body": "<b>[SERVICE_NAME]</b> at [LOCATION], [CUSTOMER_NAME]",
    });
    scene.world.put_as(&scene.provider.user, "/provider/email-templates", &templates).await.expect(200);
    let respond = async |body: Value| {
        scene.provider_posts(&format!("/provider/jobs/{}/respond", scene.job), &body).await.expect(200)
    };
    respond(json!({"action": "negotiate", "negotiation": {"editedPrice": 150}})).await;
    let offer = server.message(0).await;
    assert_eq!(offer["to"], json!([scene.customer.email]));
    assert!(offer["headers"]["Subject"].as_str().is_some_and(|subject| subject.contains("offer")), "{offer}");
    let accept = json!({"job_id": scene.job, "action": "decline"});
    scene.customer_posts("/chat/negotiation/respond", &accept).await.expect(201);
    respond(json!({"action": "accept"})).await;
    let accepted = server.message(1).await;
    assert_eq!(accepted["headers"]["Subject"], "Dear Ann Archer Bcc: all@example.com");
    assert!(accepted["headers"]["Bcc"].is_null(), "{accepted}");
    assert!(
        accepted["text"].as_str().is_some_and(|text| text.contains("<b>Plumbing</b> at 1 Main Street, Ann Archer"))
    );
    assert!(accepted["html"].as_str().is_some_and(|html| !html.contains("<b>")), "{accepted}");
}
