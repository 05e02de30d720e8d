//! The OpenAPI document in the eyes of others: `openapi-spec-validator` reads it, and `schemathesis` sends what it allows and
//! what it forbids, as nobody and in every role. No server error, no answer that the document does not describe.
//!
//! The seed is fixed and the cases are bounded. `scripts/validators` installs both.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testing::PATIENCE;
use testing::process::Process;
use testing::token::access_token;
use testing::world::{User, World};

use crate::support::Scene;

/// `scripts/test` sets it to `none`, and says so, where the validators cannot be installed.
const VARIABLE: &str = "VALIDATORS";

/// Answers are to be described. What is accepted and what is refused is the business of the other tests: the document
/// cannot say everything that makes a booking possible.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_valid_and_true() {
    if std::env::var(VARIABLE).as_deref() == Ok("none") {
        return;
    }
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let folder = content(run(Command::new(format!("{scripts}/validators"))).await);
    let program = |name: &str| Command::new(Path::new(&folder).join("bin").join(name));
    let scratch = tempfile::tempdir().expect("a folder");
    let scene = Scene::start().await;
    let lsm = scene.world.lsm().await;
    let chat = furnish(&scene).await;

    let document = scene.world.get("/openapi.json").await.expect(200);
    let path = scratch.path().join("openapi.json");
    std::fs::write(&path, document.to_string()).expect("a file");
    let mut validator = program("openapi-spec-validator");
    validator.arg(&path);
    content(run(validator).await);

    let config = scratch.path().join("schemathesis.toml");
    std::fs::write(&config, configuration(&scene.world, &chat).await).expect("a file");
    // Each with the paths that it is not sent to: the access table has what other roles are answered there.
    let callers = [
        (None, "^/(admin|lsm|customers?|provider|provider-onboarding|jobs|payments)/"),
        (Some(token_of(&scene.customer, "customer")), "^/(admin|lsm|provider|provider-onboarding)/"),
        (Some(token_of(&scene.provider.user, "service_provider")), "^/(admin|lsm|customers?)/"),
        (
            Some(token_of(&lsm, "local_service_manager")),
            "^/(admin|customers?|provider|provider-onboarding|jobs|payments)/",
        ),
    ];
    let runs = callers.map(|(token, others)| {
        let mut tester = program("schemathesis");
        tester.current_dir(scratch.path()).arg("--config-file").arg(&config).arg("run").arg(&path);
        tester.args(["--url", &scene.world.server.base_url(), "--checks", CHECKS, "--seed", "1", "--no-color"]);
        if let Some(token) = token {
            tester.arg("--header").arg(format!("Authorization: Bearer {token}"));
        }
        // One worker: Python 3.11 does not parse in several threads (https://github.com/python/cpython/issues/106905).
        tester.args(["--exclude-path-regex", others]);
        tester.args(["--phases", "examples,coverage,fuzzing", "--workers", "1"]);
        run(tester)
    });
    let reports = join_all(runs).await.into_iter().filter(|(status, _)| !status.success());
    let faults: Vec<_> = reports.map(|(_, report)| report).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Fills the lists of everybody: jobs of every kind, an offer, a review, a dispute that the LSM has joined. Returns the chat.
async fn furnish(scene: &Scene) -> String {
    let mut session = scene.world.database.session().await;
    for _ in 0..4 {
        scene.world.new_job(&mut session, &scene.customer, &scene.provider).await;
    }
    scene.world.sql("update stm.jobs set status = 'paid', completed_at = now(), answers = '[\"a list\"]'").await;
    scene.customer_posts("/customers/jobs/1/feedback", &json!({"rating": 2, "feedback": "Late"})).await.expect(200);
    let dispute = json!({"jobId": 2, "description": "It leaks"});
    scene.customer_posts("/customers/disputes", &dispute).await.expect(201);
    let question =
        json!({"serviceName": "Wells", "category": "Water", "description": "Deep", "questions": ["How deep?"]});
    scene.provider_posts("/provider/request-new-service", &question).await.expect(201);
    let (job, chat) = scene.new_job().await;
    let offer = json!({"job_id": job, "proposed_price": 99});
    scene.provider_posts("/chat/negotiation/send-offer", &offer).await.expect(201);
    chat
}

/// The ids that exist, so that most requests find something, and the number of cases.
async fn configuration(world: &World, chat: &str) -> String {
    let notifications = "select jsonb_agg(id)::text from stm.notifications";
    let slug = world.text("select 'x-' || id from stm.providers").await;
    format!(
        r#"
        [auth]
        auto-signup = false

        [generation]
        max-examples = 4

        [dictionaries]
        ids = {{ values = [1, 2, 3, 4, 5] }}
        chats = {{ values = ["{chat}"] }}
        notifications = {{ values = {} }}
        slugs = {{ values = ["{slug}"] }}

        [parameters]
        "path.id" = {{ dictionary = "ids", probability = 0.8 }}
        "path.jobId" = {{ dictionary = "ids", probability = 0.8 }}
        "path.slug" = {{ dictionary = "slugs", probability = 0.8 }}
        "body.jobId" = {{ dictionary = "ids", probability = 0.8 }}
        "body.job_id" = {{ dictionary = "ids", probability = 0.8 }}
        "body.serviceId" = {{ dictionary = "ids", probability = 0.8 }}
        "body.providerId" = {{ dictionary = "ids", probability = 0.8 }}

        [[operations]]
        include-path = "/chat/{{id}}/messages"
        parameters = {{ "path.id" = {{ dictionary = "chats", probability = 0.8 }} }}

        [[operations]]
        include-path-regex = "^/notifications/"
        parameters = {{ "path.id" = {{ dictionary = "notifications", probability = 0.8 }} }}
        "#,
        world.text(notifications).await,
    )
}

/// A token without a login, so that no request ends it.
fn token_of(user: &User, role: &str) -> String {
    access_token(user.id, &user.email, role, Duration::from_secs(3600))
}

/// Runs a program. Returns its status, and what it printed.
async fn run(mut command: Command) -> (ExitStatus, String) {
    let finished = tokio::task::spawn_blocking(move || Process::spawn(&mut command).wait(20 * PATIENCE));
    finished.await.expect("an end")
}

/// The last line of a program that must have succeeded.
#[track_caller]
fn content((status, output): (ExitStatus, String)) -> String {
    assert!(status.success(), "{output}");
    output.lines().last().unwrap_or_default().to_owned()
}
