//! Every request of the web client's call book (`tests/clients/contract/calls.json`) is accepted as it is sent: ids, tokens
//! and dates of the test in place, but the JSON type of every value kept. The tests' HTTP client checks that every answer has
//! the shape that the client reads.

use std::collections::BTreeSet;

use chrono::{Days, Utc};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testing::PATIENCE;
use testing::contract::{self, operation};
use testing::world::{PASSWORD, Provider, User, World, ZIP_CODE, unique_email};
use url::form_urlencoded;

use crate::support::SERVE;
use crate::support::files::{PDF, png};

#[tokio::test]
async fn every_request_of_the_client_is_accepted() {
    let world = World::start(SERVE).await;
    world.sql("insert into stm.services (name, category) values ('Toilet Replacement', 'Repairs')").await;
    let served: BTreeSet<_> = contract::served().map(|(method, path)| operation(method, path)).collect();
    for call in contract::calls() {
        let operation = operation(text(&call["method"]), text(&call["path"]));
        if !served.contains(&operation) {
            continue;
        }
        for example in examples(call) {
            let sent = prepare(&world, call, &operation, &example).await;
            let answer = World::answer(sent).await;
            assert!(answer.status.is_success(), "{operation} {example}: {}", answer.body);
        }
    }
    let called = contract::calls().iter().map(|call| operation(text(&call["method"]), text(&call["path"])));
    let exercised = contract::exercised();
    let missing: BTreeSet<_> = called.filter(|operation| !exercised.contains(operation)).collect();
    assert!(missing.is_empty(), "operations that never succeed: {missing:?}");
}

/// The query and the body of each example of a call.
fn examples(call: &Value) -> Vec<Value> {
    let one = |example: &Value| json!({"query": example["query"], "request": example["request"], "multipart": example["multipart"]});
    std::iter::once(call).chain(call["also"].as_array().into_iter().flatten()).map(one).collect()
}

/// A customer, a provider who serves everything, and the job that they share.
struct Parties {
    customer: User,
    provider: Provider,
    job: i64,
    chat: String,
}

impl Parties {
    async fn meet(world: &World) -> Self {
        let (customer, provider) = (world.customer().await, world.provider("House cleaning").await);
        let booked = world.book(&customer, &provider).await;
        let job = booked["job"]["id"].as_i64().expect("an id");
        Self { customer, provider, job, chat: text(&booked["chat"]["id"]).to_owned() }
    }

    async fn set(&self, world: &World, change: &str) {
        world.sql(&format!("update stm.jobs set {change} where id = {}", self.job)).await;
    }

    /// Gives the provider a status. Returns its id.
    async fn set_provider(&self, world: &World, status: &str) -> String {
        world.sql(&format!("update stm.providers set status = '{status}' where id = {}", self.provider.id)).await;
        self.provider.id.to_string()
    }
}

/// Prepares what an example needs, and the request with its ids in place.
async fn prepare(world: &World, call: &Value, operation: &str, example: &Value) -> reqwest::RequestBuilder {
    let parties = Parties::meet(world).await;
    let mut body = example["request"].clone();
    let id = arrange(world, &parties, operation, &mut body).await;
    let path = place(text(&call["path"]), &id) + &query_string(&example["query"]);
    let method: Method = text(&call["method"]).parse().expect("a method");
    let mut request = world.raw(method, &path);
    let token = match (text(&call["role"]), operation) {
        ("public", _) => None,
        ("local_service_manager", _) => Some(world.lsm().await.token),
        ("admin", _) => Some(world.admin().await.token),
        ("provider", _)
        | (_, "GET /notifications/{}" | "PATCH /notifications/{}/read" | "DELETE /notifications/{}") => {
            Some(parties.provider.user.token)
        }
        _ => Some(parties.customer.token),
    };
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if example["multipart"].is_object() {
        return request.multipart(form(&example["multipart"]));
    }
    request = request.header("content-type", "application/json");
    if body.is_null() { request } else { request.body(body.to_string()) }
}

/// As many files as the client may send, and its other fields.
fn form(multipart: &Value) -> Form {
    let mut form = Form::new();
    for (name, value) in multipart["fields"].as_object().expect("fields") {
        form = form.text(name.clone(), text(value).to_owned());
    }
    let count = multipart["max_files"].as_u64().expect("a number");
    for number in 0..count {
        let picture =
            Part::bytes(png(8 + u32::try_from(number).expect("a few"), 8)).file_name(format!("photo {number}.png"));
        form = form.part(text(&multipart["files"]).to_owned(), picture);
    }
    form
}

/// Brings about what an operation needs, and puts the ids of the test into its body. Returns the id in its path.
async fn arrange(world: &World, parties: &Parties, operation: &str, body: &mut Value) -> String {
    let job = parties.job;
    let no_open_job = "status = 'cancelled', sp_accepted = false, pending_approval = false";
    for date in ["/preferredDate", "/proposed_date", "/counter_proposed_date", "/negotiation/editedSchedule"] {
        move_date(body, date);
    }
    for (field, id) in [
        ("job_id", job),
        ("jobId", job),
        ("serviceId", parties.provider.service_id),
        ("providerId", parties.provider.id),
    ] {
        replace(body, field, json!(id));
    }
    match operation {
        "POST /auth/register" => replace(body, "email", json!(unique_email("new"))),
        "POST /auth/login" => {
            replace(body, "email", json!(parties.customer.email));
            replace(body, "password", json!(PASSWORD));
        }
        "POST /auth/refresh" => replace(body, "refreshToken", json!(parties.customer.refresh_token)),
        "POST /auth/forgot-password"
        | "POST /auth/resend-password-reset-otp"
        | "POST /auth/send-email-verification-otp" => {
            replace(body, "email", json!(parties.customer.email));
        }
        "POST /auth/verify-password-reset-otp" | "POST /auth/reset-password" => {
            enter_code(world, parties, "/auth/forgot-password", body).await;
        }
        "POST /auth/verify-email-otp" => {
            enter_code(world, parties, "/auth/send-email-verification-otp", body).await;
        }
        "GET /utils/zip/{}" => return ZIP_CODE.into(),
        "POST /provider/add-service" => {
            let sql = "select id from stm.services where name = 'Plumbing'";
            replace(body, "serviceId", json!(world.number(sql).await));
        }
        "POST /jobs/create" | "POST /provider/availability" => parties.set(world, no_open_job).await,
        "POST /provider/mark-available" => make_unavailable(world, parties).await,
        "POST /jobs/{}/reassign" => {
            let other = world.provider("House cleaning").await;
            replace(body, "newProviderId", json!(other.id));
        }
        "POST /customers/jobs/{}/action" => match text(&body["action"]) {
            "close_deal" => parties.set(world, "sp_accepted = true").await,
            "approve_edits" => offer(world, parties).await,
            _ => {}
        },
        "POST /chat/negotiation/respond" => offer(world, parties).await,
        "POST /provider/jobs/{}/update-status" if body["action"] == "mark_complete" => {
            parties.set(world, "status = 'in_progress', sp_accepted = true").await;
        }
        "POST /provider/jobs/{}/update-status" | "POST /customers/disputes" | "POST /payments/jobs/{}/send-invoice" => {
            complete(world, parties).await;
        }
        "POST /customers/jobs/{}/feedback" => pay(world, parties).await,
        "GET /provider/reviews/{}" => return review(world, parties).await,
        "GET /lsm/disputes/{}" | "POST /lsm/disputes/{}/join-chat" | "POST /lsm/disputes/{}/resolve" => {
            return dispute(world, parties).await;
        }
        "GET /lsm/providers/{}"
        | "GET /lsm/providers/{}/reviews"
        | "GET /lsm/providers/{}/reviews/stats"
        | "POST /lsm/providers/{}/request-ban" => return parties.provider.id.to_string(),
        "POST /lsm/providers/{}/set-status" => {
            parties.set(world, "status = 'cancelled'").await;
            let other = if body["status"] == "active" { "inactive" } else { "active" };
            return parties.set_provider(world, other).await;
        }
        "POST /lsm/providers/{}/approve-onboarding" | "POST /lsm/providers/{}/reject-onboarding" => {
            world.verified_document(parties.provider.id).await;
            return parties.set_provider(world, "pending").await;
        }
        "POST /lsm/service-requests/{}/approve" | "POST /lsm/service-requests/{}/reject" => {
            let request = json!({"serviceName": "Roof wash", "category": "Cleaning", "description": "Tiled roofs"});
            let path = "/provider/request-new-service";
            return world.post_as(&parties.provider.user, path, &request).await.expect(201)["id"].to_string();
        }
        "GET /notifications/{}" | "PATCH /notifications/{}/read" | "DELETE /notifications/{}" => {
            let user = parties.provider.user.id;
            return world.text(&format!("select id::text from stm.notifications where recipient_id = {user}")).await;
        }
        "POST /payments/jobs/{}/resend-invoice" => drop(invoice(world, parties).await),
        "GET /payments/provider/invoices/{}" => return invoice(world, parties).await,
        "GET /chat/{}/messages" => return parties.chat.clone(),
        "DELETE /provider/images/gallery/{}" => return gallery_image(world, parties).await,
        "PUT /provider/images/gallery/reorder" => {
            let (first, second) = (gallery_image(world, parties).await, gallery_image(world, parties).await);
            replace(body, "imageIds", json!([second, first]));
        }
        "GET /lsm/providers/{}/documents/{}"
        | "POST /lsm/providers/{}/documents/{}"
        | "GET /admin/providers/{}/documents/{}" => return document(world, parties).await,
        "GET /providers/{}" => return format!("petes-pipes-{}", parties.provider.id),
        "GET /homepage/search/services/category/{}" => return "Repairs".into(),
        admins if admins.contains(" /admin/") => return subject_of_admin(world, parties, admins).await,
        _ => {}
    }
    job.to_string()
}

/// What an admin's request names, made for it. Returns its id.
async fn subject_of_admin(world: &World, parties: &Parties, operation: &str) -> String {
    let id = match operation {
        "PUT /admin/lsms/{}" | "POST /admin/lsms/{}/replace" | "DELETE /admin/lsms/{}" => {
            let email = unique_email("lsm");
            let sql = format!(
                "with person as (
                     insert into stm.users (email, first_name, last_name, role)
                     values ('{email}', 'Lou', 'Local', 'local_service_manager') returning id
                 ), lsm as (
                     insert into stm.local_service_managers (user_id, region) select id, '{email}' from person returning id)
                 select id from lsm"
            );
            world.number(&sql).await
        }
        "POST /admin/service-requests/{}/approve" | "POST /admin/service-requests/{}/reject" => {
            let sql = format!(
                "with request as (
                     insert into stm.service_requests (requested_by, kind, lsm_id, service_name, category, description, status)
                     select user_id, 'service_provider', lsm_id, 'Roof wash', 'Cleaning', 'Tiled roofs', 'lsm_approved'
                     from stm.providers where id = {} returning id)
                 select id from request",
                parties.provider.id
            );
            world.number(&sql).await
        }
        "PUT /admin/services/{}" => parties.provider.service_id,
        "DELETE /admin/services/{}" => {
            let sql = "with service as (insert into stm.services (name, category) values ('Old', 'Old') returning id)
                       select id from service";
            world.number(sql).await
        }
        "POST /admin/providers/{}/ban" | "POST /admin/providers/{}/unban" => {
            parties.set(world, "status = 'cancelled'").await;
            if operation.ends_with("/unban") {
                let path = format!("/admin/providers/{}/ban", parties.provider.id);
                world.post_as(&world.admin().await, &path, &json!({"reason": "Fraud"})).await.expect(200);
            }
            parties.provider.id
        }
        _ => parties.provider.id,
    };
    id.to_string()
}

async fn make_unavailable(world: &World, parties: &Parties) {
    parties.set(world, "status = 'cancelled'").await;
    let unavailable = json!({"status": "inactive"});
    world.post_as(&parties.provider.user, "/provider/availability", &unavailable).await.expect(200);
}

/// Asks for a code, and enters it as the client does. Without a mail server the service shows its e-mails in the log.
async fn enter_code(world: &World, parties: &Parties, path: &str, body: &mut Value) {
    let email = &parties.customer.email;
    world.post(path, &json!({"email": email})).await.expect(200);
    let started = std::time::Instant::now();
    let code = loop {
        let output = world.server.output();
        let (_, mail) = output.split_once(&format!("e-mail to {email}")).unwrap_or_default();
        let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(code) = mail.split_whitespace().find(is_code) {
            break code.to_owned();
        }
        assert!(started.elapsed() < PATIENCE, "no code for {email}: {output}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    replace(body, "email", json!(email));
    replace(body, "otp", json!(code));
}

async fn offer(world: &World, parties: &Parties) {
    let offer = json!({"job_id": parties.job, "proposed_price": 99});
    world.post_as(&parties.provider.user, "/chat/negotiation/send-offer", &offer).await.expect(201);
}

async fn complete(world: &World, parties: &Parties) {
    parties.set(world, "status = 'completed', sp_accepted = true, completed_at = now()").await;
}

async fn invoice(world: &World, parties: &Parties) -> String {
    complete(world, parties).await;
    let path = format!("/payments/jobs/{}/send-invoice", parties.job);
    world.post_as(&parties.provider.user, &path, &json!({})).await.expect(201)["invoiceId"].to_string()
}

async fn pay(world: &World, parties: &Parties) {
    complete(world, parties).await;
    let path = format!("/provider/jobs/{}/update-status", parties.job);
    world.post_as(&parties.provider.user, &path, &json!({"action": "mark_payment"})).await.expect(200);
}

async fn review(world: &World, parties: &Parties) -> String {
    pay(world, parties).await;
    let path = format!("/customers/jobs/{}/feedback", parties.job);
    world.post_as(&parties.customer, &path, &json!({"rating": 5})).await.expect(200);
    world.number(&format!("select id from stm.reviews where job_id = {}", parties.job)).await.to_string()
}

async fn dispute(world: &World, parties: &Parties) -> String {
    complete(world, parties).await;
    let dispute = json!({"jobId": parties.job, "description": "It leaks"});
    world.post_as(&parties.customer, "/customers/disputes", &dispute).await.expect(201)["disputeId"].to_string()
}

async fn gallery_image(world: &World, parties: &Parties) -> String {
    let files = vec![("a.png", png(9, 9))];
    let answer = world.upload(&parties.provider.user, "/provider/images/gallery", "file", files, &[]).await;
    text(&answer.expect(201)["image"]["id"]).to_owned()
}

/// The ids of a provider and a document of it, as they stand in a path.
async fn document(world: &World, parties: &Parties) -> String {
    let files = vec![("licence.pdf", PDF.to_vec())];
    let path = "/provider-onboarding/documents/upload";
    let answer = world.upload(&parties.provider.user, path, "file", files, &[]).await.expect(201);
    format!("{}/{}", parties.provider.id, answer["id"])
}

/// Replaces a member that is there, but keeps its JSON type.
fn replace(body: &mut Value, field: &str, new: Value) {
    match body.get_mut(field) {
        Some(Value::String(text)) => *text = new.as_str().map_or_else(|| new.to_string(), str::to_owned),
        Some(other) => *other = new,
        None => {}
    }
}

/// Moves a date of the book two months ahead of today, in its own notation.
fn move_date(body: &mut Value, pointer: &str) {
    if let Some(Value::String(text)) = body.pointer_mut(pointer) {
        let ahead = (Utc::now() + Days::new(60)).format("%Y-%m-%d").to_string();
        text.replace_range(..ahead.len(), &ahead);
    }
}

fn query_string(query: &Value) -> String {
    let mut pairs = form_urlencoded::Serializer::new("?".to_owned());
    for (name, value) in query.as_object().into_iter().flatten() {
        pairs.append_pair(name, text(value));
    }
    pairs.finish()
}

/// Puts ids into a path; with several of them the last parameter is the last.
fn place(path: &str, ids: &str) -> String {
    let mut ids = ids.split('/').cycle();
    let mut place = |part| if str::starts_with(part, '{') { ids.next().unwrap_or_default() } else { part };
    let segments: Vec<_> = path.split('/').map(&mut place).collect();
    segments.join("/")
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}
