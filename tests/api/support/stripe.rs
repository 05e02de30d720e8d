//! A stand-in that speaks Stripe's HTTP: it makes, finalizes and voids invoices, keeps answers under idempotency keys,
//! and can stall, fail and lie. It signs events as Stripe does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use testing::world::{Answer, World};
use tokio::net::TcpListener;

const SECRET_KEY: &str = "sk_test_stand_in";
const WEBHOOK_SECRET: &str = "whsec_stand_in";

/// How the stand-in answers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Works,
    /// Carries nothing out, and says so with a 500 that it keeps under the key.
    Fails,
    /// Carries everything out, but never answers.
    Stalls,
    /// Refuses the customer.
    Refuses,
    /// Invoices a dollar more than it was told.
    AddsADollar,
}

#[derive(Default)]
struct Account {
    mode: Mode,
    invoices: BTreeMap<String, Value>,
    /// The answers that were given, by their keys.
    answers: HashMap<String, (StatusCode, Value)>,
    customers: usize,
}

/// An account at Stripe.
#[derive(Clone)]
pub struct StripeAccount {
    account: Arc<Mutex<Account>>,
    port: u16,
}

impl StripeAccount {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let this = Self { account: Arc::default(), port };
        let router = Router::new().fallback(answer).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    /// The settings of a service that makes its invoices here.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("STRIPE_SECRET_KEY", SECRET_KEY.into()),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET.into()),
            ("STRIPE_API_BASE", format!("http://127.0.0.1:{}", self.port)),
        ]
    }

    pub fn set_mode(&self, mode: Mode) {
        self.account().mode = mode;
    }

    /// The invoices that were made, with their ids.
    pub fn invoices(&self) -> Vec<Value> {
        self.account().invoices.values().cloned().collect()
    }

    /// The status of every invoice, in the order of their making.
    pub fn statuses(&self) -> Vec<String> {
        self.invoices().iter().map(|invoice| invoice["status"].as_str().expect("a status").to_owned()).collect()
    }

    /// Adds an open invoice that was not made over HTTP.
    pub fn add_open(&self, id: &str, amount: i64) -> Value {
        let invoice = json!({"id": id, "object": "invoice", "status": "open", "currency": "usd", "amount_due": amount,
                             "amount_paid": 0, "metadata": {}});
        self.account().invoices.insert(id.to_owned(), invoice.clone());
        invoice
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("a lock")
    }
}

async fn answer(
    State(stripe): State<StripeAccount>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let key = header("idempotency-key");
    let (status, body, is_replayed, stalls) = {
        let mut account = stripe.account();
        let kept = account.answers.get(&key).cloned();
        let is_replayed = kept.is_some();
        let (status, body) = kept.unwrap_or_else(|| account.carry_out(&method, uri.path(), &header, &body));
        if method == Method::POST {
            assert!(!key.is_empty(), "{uri} without a key");
            account.answers.insert(key, (status, body.clone()));
        }
        (status, body, is_replayed, account.mode == Mode::Stalls)
    };
    if stalls {
        std::future::pending::<()>().await;
    }
    let response = Response::builder().status(status).header("idempotent-replayed", is_replayed.to_string());
    response.body(Body::from(body.to_string())).expect("a response")
}

impl Account {
    fn carry_out(
        &mut self,
        method: &Method,
        path: &str,
        header: &impl Fn(&str) -> String,
        body: &str,
    ) -> (StatusCode, Value) {
        let refusal = |status, code: &str| (status, json!({"error": {"type": "invalid_request_error", "code": code}}));
        if header("authorization") != format!("Bearer {SECRET_KEY}") || header("stripe-version").is_empty() {
            return refusal(StatusCode::UNAUTHORIZED, "wrong_key");
        }
        if self.mode == Mode::Fails {
            return (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": {"type": "api_error"}}));
        }
        let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        let steps: Vec<_> = path.trim_start_matches("/v1/").split('/').collect();
        match (method.as_str(), &*steps) {
            ("POST", ["customers"]) if self.mode == Mode::Refuses => refusal(StatusCode::BAD_REQUEST, "email_invalid"),
            ("POST", ["customers"]) => {
                assert!(field("email").contains('@') && !field("name").is_empty(), "{form:?}");
                self.customers += 1;
                (StatusCode::OK, json!({"id": format!("cus_{}", self.customers)}))
            }
            ("POST", ["invoices"]) => {
                let id = format!("in_{}", self.invoices.len() + 1);
                let invoice = json!({
                    "id": id, "object": "invoice", "status": "draft", "currency": field("currency"), "amount_due": 0,
                    "amount_paid": 0, "hosted_invoice_url": null, "invoice_pdf": null,
                    "metadata": {"stm_invoice": field("metadata[stm_invoice]"), "stm_job": field("metadata[stm_job]")},
                });
                self.invoices.insert(id, invoice.clone());
                (StatusCode::OK, invoice)
            }
            ("POST", ["invoiceitems"]) => {
                let amount: i64 = field("amount").parse().expect("whole cents");
                let more = if self.mode == Mode::AddsADollar { 100 } else { 0 };
                let Some(invoice) = self.invoices.get_mut(&field("invoice")) else {
                    return refusal(StatusCode::NOT_FOUND, "resource_missing");
                };
                let due = invoice["amount_due"].as_i64().expect("an amount") + amount + more;
                invoice["amount_due"] = json!(due);
                (StatusCode::OK, json!({"id": "ii_1"}))
            }
            ("GET", ["invoices", id]) => match self.invoices.get(*id) {
                Some(invoice) => (StatusCode::OK, invoice.clone()),
                None => refusal(StatusCode::NOT_FOUND, "resource_missing"),
            },
            ("POST", ["invoices", id, step @ ("finalize" | "void")]) => {
                let (from, to) = if *step == "finalize" { ("draft", "open") } else { ("open", "void") };
                match self.invoices.get_mut(*id) {
                    Some(invoice) if invoice["status"] == from => {
                        invoice["status"] = json!(to);
                        invoice["hosted_invoice_url"] = json!(format!("https://invoice.stripe.example/{id}"));
                        invoice["invoice_pdf"] = json!(format!("https://invoice.stripe.example/{id}/pdf"));
                        (StatusCode::OK, invoice.clone())
                    }
                    _ => refusal(StatusCode::BAD_REQUEST, "invoice_not_in_this_state"),
                }
            }
            _ => refusal(StatusCode::NOT_FOUND, "no_such_route"),
        }
    }
}

/// An event about an invoice, under an id of its own.
pub fn event(kind: &str, object: &Value) -> Value {
    let id = format!("evt_{:016x}", rand::random::<u64>());
    json!({"id": id, "object": "event", "type": kind, "created": Utc::now().timestamp(), "data": {"object": object}})
}

/// The invoice as Stripe describes it once it is paid.
pub fn paid(invoice: &Value) -> Value {
    let mut paid = invoice.clone();
    paid["status"] = json!("paid");
    paid["amount_paid"] = invoice["amount_due"].clone();
    paid
}

/// The refunded charge of an invoice.
pub fn refunded(invoice: &Value, cents: i64) -> Value {
    json!({"id": "ch_1", "object": "charge", "invoice": invoice["id"], "amount": invoice["amount_due"],
           "amount_refunded": cents, "currency": "usd"})
}

/// The `Stripe-Signature` of a body that was signed so many seconds ago.
pub fn signature(body: &str, age_s: i64) -> String {
    let time = Utc::now().timestamp() - age_s;
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("a key");
    mac.update(format!("{time}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("t={time},v1={digest}")
}

/// Sends a body under a signature.
pub async fn send(world: &World, body: String, signature: &str) -> Answer {
    let request = world.raw(Method::POST, "/payments/stripe/webhook").header("content-type", "application/json");
    World::answer(request.header("stripe-signature", signature).body(body)).await
}

/// Sends an event as Stripe does.
pub async fn deliver(world: &World, event: &Value) {
    let body = event.to_string();
    let signature = signature(&body, 0);
    send(world, body, &signature).await.expect(200);
}
