//! The web client can read every answer, whether there is much to show or nothing: one marketplace from its first day to a
//! resolved dispute, looked at all the way. The tests' HTTP client checks each answer against `calls.json`.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use testing::contract::{self, operation};
use testing::world::{PASSWORD, Provider, User, World, ZIP_CODE};

use crate::support::Scene;

/// Everybody who reads, and whom they can ask.
struct Callers {
    scene: Scene,
    lsm: User,
    admin: User,
    /// Offers the same service.
    other: Provider,
}

impl Callers {
    async fn start() -> Self {
        let scene = Scene::start().await;
        let (lsm, other) = (scene.world.lsm().await, scene.world.provider("Plumbing").await);
        let admin = scene.world.admin().await;
        scene.world.sql("delete from stm.notifications").await;
        Self { scene, lsm, admin, other }
    }

    fn world(&self) -> &World {
        &self.scene.world
    }

    /// Sends a request that must succeed.
    async fn send(&self, who: Option<&User>, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.world().request(method, path, who.map(|who| &*who.token), body).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        answer.body
    }

    async fn get(&self, who: &User, path: &str) -> Value {
        self.send(Some(who), Method::GET, path, None).await
    }

    async fn customer_posts(&self, path: &str, body: Value) -> Value {
        self.send(Some(&self.scene.customer), Method::POST, path, Some(&body)).await
    }

    async fn provider_posts(&self, path: &str, body: Value) -> Value {
        self.send(Some(&self.scene.provider.user), Method::POST, path, Some(&body)).await
    }

    /// Those who may call an operation; `None` is nobody.
    fn of_role(&self, role: &str) -> Vec<Option<&User>> {
        match role {
            "public" => vec![None],
            "customer" => vec![Some(&self.scene.customer)],
            "provider" => vec![Some(&self.scene.provider.user)],
            "local_service_manager" => vec![Some(&self.lsm)],
            "admin" => vec![Some(&self.admin)],
            "any" => vec![Some(&self.scene.customer), Some(&self.scene.provider.user), Some(&self.lsm)],
            role => panic!("{role}"),
        }
    }

    /// Everything that is read without naming an object.
    async fn read_lists(&self) {
        let served: BTreeSet<_> = contract::served().map(|(method, path)| operation(method, path)).collect();
        for call in contract::calls() {
            let path = text(&call["path"]);
            if call["method"] != "GET" || path.contains('{') || !served.contains(&operation("GET", path)) {
                continue;
            }
            let query = call["query"].as_object().into_iter().flatten();
            let query: Vec<_> = query.map(|(name, value)| format!("{name}={}", text(value))).collect();
            for who in self.of_role(text(&call["role"])) {
                self.send(who, Method::GET, &format!("{path}?{}", query.join("&")), None).await;
            }
        }
    }

    /// A job and its chat, as both parties see them. Returns it as the customer does.
    async fn read_job(&self, job: &Value, chat: &Value) -> Value {
        let (customer, provider) = (&self.scene.customer, &self.scene.provider.user);
        self.get(customer, &format!("/jobs/{job}/alternative-providers")).await;
        self.get(provider, &format!("/provider/jobs/{job}")).await;
        for party in [customer, provider] {
            self.get(party, &format!("/chat/{}/messages", text(chat))).await;
            self.get(party, &format!("/chat/negotiation/job/{job}/history")).await;
        }
        self.get(customer, &format!("/customers/jobs/{job}")).await
    }

    async fn book(&self, more: Value) -> (Value, Value) {
        let mut booking = json!({
            "serviceId": self.scene.provider.service_id, "providerId": self.scene.provider.id, "zipcode": ZIP_CODE,
        });
        booking.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let booked = self.customer_posts("/jobs/create", booking).await;
        (booked["job"]["id"].clone(), booked["chat"]["id"].clone())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

#[tokio::test]
async fn the_client_can_read_every_answer() {
    let callers = Callers::start().await;
    callers.read_lists().await;
    look_around(&callers).await;
    keep_the_account(&callers).await;
    let (job, chat) = negotiate(&callers).await;
    reject_and_reassign(&callers).await;
    let dispute = finish(&callers, &job, &chat).await;
    callers.read_lists().await;
    settle(&callers, &dispute).await;
    read_notifications(&callers).await;
    callers.read_lists().await;
    callers.send(Some(&callers.scene.customer), Method::POST, "/auth/logout", None).await;
}

/// What is public.
async fn look_around(callers: &Callers) {
    let (service, provider) = (callers.scene.provider.service_id, callers.scene.provider.id);
    let post = async |path, body: Value| callers.send(None, Method::POST, path, Some(&body)).await;
    for zip_code in [ZIP_CODE, "99999"] {
        post("/services/smart-providers", json!({"serviceId": service, "zipcode": zip_code, "budget": 200})).await;
        let found = post("/homepage/search/providers", json!({"service": "Plumbing", "zipcode": zip_code})).await;
        assert_eq!(found["data"]["service"]["name"], "Plumbing");
    }
    let unknown = post("/homepage/search/providers", json!({"service": "Magic", "zipcode": ZIP_CODE})).await;
    assert_eq!(unknown["data"]["providers"], json!([]));
    callers.send(None, Method::GET, "/homepage/search/services/category/Repairs", None).await;
    callers.send(None, Method::GET, &format!("/providers/petes-pipes-{provider}"), None).await;
    let login = json!({"email": callers.scene.customer.email, "password": PASSWORD});
    let session = post("/auth/login", login).await;
    post("/auth/refresh", json!({"refreshToken": session["refreshToken"]})).await;
}

/// What each party sets for itself.
async fn keep_the_account(callers: &Callers) {
    let (customer, provider) = (Some(&callers.scene.customer), Some(&callers.scene.provider.user));
    // 555 is the area code that the web client's form begins with.
    let profile = json!({"firstName": "Ann", "phone": "(555) 555-0172"});
    callers.send(customer, Method::PUT, "/customers/profile", Some(&profile)).await;
    let request = json!({"keyword": "Roof wash", "description": "A tiled roof", "region": "NY", "zipcode": ZIP_CODE});
    callers.customer_posts("/customers/request-service", request).await;
    // A real form sends null for a level without a number.
    callers.send(provider, Method::PUT, "/provider/profile", Some(&json!({"experience": null}))).await;
    for experience in [json!(3), json!(null)] {
        let profile = json!({"experience": experience, "description": "Pipes", "location": "New York, NY"});
        callers.send(provider, Method::PUT, "/provider/profile", Some(&profile)).await;
    }
    callers.provider_posts("/provider/availability", json!({"status": "inactive"})).await;
    callers.send(provider, Method::POST, "/provider/mark-available", None).await;
    callers.provider_posts("/provider/confirm-availability", json!({})).await;
    let templates = json!({"first_message_template": "Hello [CUSTOMER_NAME]"});
    callers.send(provider, Method::PUT, "/provider/email-templates", Some(&templates)).await;
    let cleaning = callers.world().number("select id from stm.services where name = 'House cleaning'").await;
    let added = callers.provider_posts("/provider/add-service", json!({"serviceId": cleaning})).await;
    assert_eq!(added["serviceName"], "House cleaning");
    let request = json!({"serviceName": "Roof wash", "category": "Cleaning", "description": "Tiled roofs"});
    for _ in 0..3 {
        callers.provider_posts("/provider/request-new-service", request.clone()).await;
    }
    callers
        .world()
        .sql(
            "update stm.service_requests set status = 'rejected', reason = 'Too steep', rejected_by = 'admin'
             where id = (select max(id) from stm.service_requests);
             update stm.service_requests set status = 'lsm_approved'
             where id = (select max(id) - 1 from stm.service_requests)",
        )
        .await;
}

/// A job from its booking to an agreement, seen at every step.
async fn negotiate(callers: &Callers) -> (Value, Value) {
    let (job, chat) = callers
        .book(json!({
            "answers": [{"question": "Rooms", "answer": 3}, "Bring a ladder"], "customerBudget": 120.5,
            "projectSizeSqft": 800, "requiresInPersonVisit": true, "images": ["https://files.example/one.jpg"],
        }))
        .await;
    let seen = callers.read_job(&job, &chat).await;
    assert_eq!(
        seen["job"]["originalAnswers"],
        json!({"Rooms": 3, "2": "Bring a ladder", "project_size_sqft": 800, "requires_in_person_visit": true})
    );
    callers.read_lists().await;
    let respond = format!("/provider/jobs/{job}/respond");
    let edits = json!({"editedPrice": 150, "editedAnswers": {"Rooms": ["4", "a hall"]}, "notes": "One more"});
    callers.provider_posts(&respond, json!({"action": "negotiate", "negotiation": edits})).await;
    let seen = callers.read_job(&job, &chat).await;
    assert_eq!(seen["job"]["editedAnswers"]["answers"], "Rooms: 4, a hall");
    callers.read_lists().await;
    let counter = json!({"job_id": job, "action": "counter", "counter_proposed_price": 130});
    callers.customer_posts("/chat/negotiation/respond", counter).await;
    callers.read_job(&job, &chat).await;
    callers.provider_posts("/chat/negotiation/send-offer", json!({"job_id": job, "proposed_price": 140})).await;
    callers.customer_posts(&format!("/customers/jobs/{job}/action"), json!({"action": "approve_edits"})).await;
    callers.read_job(&job, &chat).await;
    callers.customer_posts(&format!("/customers/jobs/{job}/action"), json!({"action": "close_deal"})).await;
    (job, chat)
}

/// A second job, which its provider rejects: the customer sees it, and gives it to another one.
async fn reject_and_reassign(callers: &Callers) {
    callers.world().sql("update stm.jobs set status = 'cancelled'").await;
    let (job, chat) = callers.book(json!({})).await;
    let reject = json!({"action": "reject", "reason": "Fully booked"});
    callers.provider_posts(&format!("/provider/jobs/{job}/respond"), reject).await;
    let seen = callers.read_job(&job, &chat).await;
    assert_eq!((&seen["job"]["status"], &seen["chatId"]), (&json!("rejected_by_sp"), &chat));
    callers.read_lists().await;
    callers.customer_posts(&format!("/jobs/{job}/reassign"), json!({"newProviderId": callers.other.id})).await;
    callers.get(&callers.scene.customer, &format!("/customers/jobs/{job}")).await;
    callers.world().sql("update stm.jobs set status = 'in_progress' where status = 'cancelled'").await;
}

/// The customer is asked to pay, twice.
async fn invoice(callers: &Callers, job: &Value) {
    let path = format!("/payments/jobs/{job}");
    callers.get(&callers.scene.provider.user, &format!("{path}/invoice")).await;
    let sent = callers.provider_posts(&format!("{path}/send-invoice"), json!({})).await;
    callers.provider_posts(&format!("{path}/resend-invoice"), json!({})).await;
    callers.get(&callers.scene.provider.user, &format!("/payments/provider/invoices/{}", sent["invoiceId"])).await;
    for party in [&callers.scene.customer, &callers.scene.provider.user] {
        callers.get(party, &format!("{path}/invoice")).await;
    }
}

/// Work, money, review and complaint. Returns the dispute's id.
async fn finish(callers: &Callers, job: &Value, chat: &Value) -> Value {
    let update = format!("/provider/jobs/{job}/update-status");
    callers.provider_posts(&update, json!({"action": "mark_complete"})).await;
    callers.read_job(job, chat).await;
    callers.read_lists().await;
    invoice(callers, job).await;
    callers.read_lists().await;
    let payment = json!({"action": "mark_payment", "paymentDetails": {"method": "cash", "notes": "In full"}});
    callers.provider_posts(&update, payment).await;
    let seen = callers.read_job(job, chat).await;
    assert_eq!(seen["job"]["paidAt"], seen["payment"]["markedAt"]);
    let paid = callers.get(&callers.scene.customer, &format!("/payments/jobs/{job}/invoice")).await;
    assert_eq!(paid["payment"]["markedAt"], seen["payment"]["markedAt"]);
    callers.read_lists().await;
    callers.customer_posts(&format!("/customers/jobs/{job}/feedback"), json!({"rating": 2, "feedback": "Late"})).await;
    let reviews = callers.get(&callers.scene.provider.user, "/provider/reviews").await;
    callers.get(&callers.scene.provider.user, &format!("/provider/reviews/{}", reviews["data"][0]["id"])).await;
    let complaint = json!({"jobId": job, "description": "It leaks"});
    callers.customer_posts("/customers/disputes", complaint).await["disputeId"].clone()
}

/// The dispute as the LSM sees it: before and after joining, and resolved.
async fn settle(callers: &Callers, dispute: &Value) {
    let (lsm, path) = (&callers.lsm, format!("/lsm/disputes/{dispute}"));
    callers.get(lsm, &path).await;
    callers.send(Some(lsm), Method::POST, &format!("{path}/join-chat"), None).await;
    assert_eq!(callers.get(lsm, &path).await["chatStatus"]["lsmJoined"], true);
    callers.read_lists().await;
    let notes = json!({"resolutionNotes": "Agreed on a second visit"});
    callers.send(Some(lsm), Method::POST, &format!("{path}/resolve"), Some(&notes)).await;
    callers.get(lsm, &path).await;
    for provider in [&callers.scene.provider, &callers.other] {
        callers.get(&callers.admin, &format!("/admin/providers/{}", provider.id)).await;
    }
}

async fn read_notifications(callers: &Callers) {
    let user = Some(&callers.scene.customer);
    let list = callers.get(&callers.scene.customer, "/notifications").await;
    let one = format!("/notifications/{}", text(&list["notifications"][0]["id"]));
    callers.send(user, Method::GET, &one, None).await;
    callers.send(user, Method::PATCH, &format!("{one}/read"), None).await;
    callers.send(user, Method::DELETE, &one, None).await;
    callers.send(user, Method::PATCH, "/notifications/mark-all-read", None).await;
    callers.send(user, Method::DELETE, "/notifications/clear-read", None).await;
    callers.send(Some(&callers.scene.provider.user), Method::DELETE, "/provider/email-templates", None).await;
}
