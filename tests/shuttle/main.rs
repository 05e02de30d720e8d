//! The Shuttle entry, from outside: the binary is built and started as Shuttle does it, and gets its secrets
//! over HTTP from a stand-in for Shuttle's API. With right secrets it serves a booking; with wrong ones it
//! ends, names the secret, and reveals no password. What a deployment packs can be built offline
//! and holds nothing private.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod archive;
mod harness;

use harness::{Secrets, Service};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testing::Database;
use testing::token::JWT_SECRET;

/// The passwords and keys that no output may hold.
const WRONG_PASSWORD: &str = "n0t-the-passw0rd";

#[tokio::test]
async fn the_shuttle_binary_serves_a_booking() {
    let database = Database::create().await;
    let mut secrets = harness::secrets(&database);
    secrets.insert("DEMO_DATA", "true".to_owned());
    let mut service = Service::start(&secrets).await;
    service.until_ready().await;

    let api = Api { client: Client::new(), base: service.url() };
    let access_token = api.log_in().await;
    let (service_id, provider_id) = api.house_cleaning().await;
    let booking = json!({ "serviceId": service_id, "providerId": provider_id, "zipcode": "10001" });
    let request = api.client.post(api.url("/customer/booking")).bearer_auth(access_token).json(&booking);
    let booked = request.send().await.expect("an answer to the booking");
    assert_eq!(booked.status(), StatusCode::CREATED);
    let booked: Value = booked.json().await.expect("JSON");
    assert_eq!(booked["job"]["service"], "House cleaning");

    let output = service.output();
    let running = format!("STM Backend running at port {}\n", service.port);
    for line in [
        "✅ Connected to transaction pooler (REST API)\n",
        "✅ Connected to direct connection (Real-time/Socket.IO)\n",
        &running,
    ] {
        assert!(output.contains(line), "{line}is not in\n{output}");
    }
    assert_keeps_secrets(&output, &secrets);
}

#[tokio::test]
async fn the_shuttle_binary_refuses_wrong_secrets() {
    let database = Database::create().await;
    let right = harness::secrets(&database);
    let wrong_password = harness::with_password(&right["DATABASE_URL"], WRONG_PASSWORD);

    let no_direct_url = without(&right, "DIRECT_URL");
    assert_refused(&no_direct_url, "DIRECT_URL is missing").await;
    let pooler_as_direct_url = with(&right, "DIRECT_URL", right["DATABASE_URL"].clone());
    assert_refused(&pooler_as_direct_url, "DIRECT_URL").await;
    let refused = assert_refused(&with(&right, "DATABASE_URL", wrong_password), "DATABASE_URL: ").await;
    assert!(refused.contains("refused the password"), "{refused}");
    let nothing = assert_refused(&Secrets::new(), "DATABASE_URL is missing").await;
    for name in ["DIRECT_URL is missing", "JWT_SECRET is missing"] {
        assert!(nothing.contains(name), "{nothing}");
    }
}

fn with(secrets: &Secrets, name: &'static str, value: String) -> Secrets {
    let mut changed = secrets.clone();
    changed.insert(name, value);
    changed
}

fn without(secrets: &Secrets, name: &str) -> Secrets {
    let mut changed = secrets.clone();
    changed.remove(name);
    changed
}

/// Started with these secrets, the process fails and prints `what`. Returns all that it printed.
async fn assert_refused(secrets: &Secrets, what: &str) -> String {
    let mut service = Service::start(secrets).await;
    let status = service.until_ended().await;
    let output = service.output();
    assert!(!status.success(), "{output}");
    assert!(output.contains(what), "{what} is not in\n{output}");
    for line in ["running at port", "panicked"] {
        assert!(!output.contains(line), "{output}");
    }
    assert_keeps_secrets(&output, secrets);
    output
}

fn assert_keeps_secrets(output: &str, secrets: &Secrets) {
    let passwords = secrets.values().filter_map(|value| harness::password(value));
    for secret in passwords.chain([JWT_SECRET.to_owned()]) {
        assert!(!output.contains(&secret), "a secret is in\n{output}");
    }
}

/// The REST API, as a customer sees it.
struct Api {
    client: Client,
    base: String,
}

impl Api {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "GET {path}");
        answer.json().await.expect("JSON")
    }

    /// Logs in as the demo customer. Returns the access token.
    async fn log_in(&self) -> String {
        let who = json!({ "email": "ann@demo.example", "password": "demo-password" });
        let answer = self.client.post(self.url("/auth/login")).json(&who).send().await.expect("an answer to the login");
        assert_eq!(answer.status(), StatusCode::OK);
        let session: Value = answer.json().await.expect("JSON");
        session["accessToken"].as_str().expect("an access token").to_owned()
    }

    /// The demo service that can be booked, and who offers it: their ids.
    async fn house_cleaning(&self) -> (Value, Value) {
        let catalog = self.get("/services").await;
        let services = catalog["services"].as_array().expect("services");
        let service = services.iter().find(|service| service["name"] == "House cleaning").expect("the demo service");
        let offered = self.get(&format!("/services/{}/providers", service["id"])).await;
        (service["id"].clone(), offered["providers"][0]["id"].clone())
    }
}
