//! Stripe's REST API, as far as invoices need it: <https://docs.stripe.com/api>.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;
use uuid::Uuid;

use super::signature::WebhookSecret;
use crate::config::StripeSettings;
use crate::types::{Cents, InvoiceId, JobId};

/// The version of the API that this file is written for. The webhook endpoint has to be created with the same one.
const API_VERSION: &str = "2024-06-20";

/// The maximum time of a request to Stripe.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum time of connecting to Stripe.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The maximum size of an answer, in bytes. An invoice has a few thousand.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How long the customer has to pay, in days.
const DAYS_UNTIL_DUE: &str = "30";

/// A client of Stripe's API, and the key of the events that Stripe sends. Cheap to clone.
#[derive(Clone)]
pub struct Stripe {
    http: Client<HttpsConnector<HttpConnector>, Body>,
    settings: Arc<StripeSettings>,
    pub(super) webhook_secret: WebhookSecret,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").field("api_base", &self.settings.api_base).finish_non_exhaustive()
    }
}

/// Why a request to Stripe has failed. Stripe's own words are not kept: they may repeat the customer's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another attempt may succeed.
    Later { why: String, is_replayed: bool },
    /// No attempt will.
    Final(String),
}

/// What a new invoice says.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub id: InvoiceId,
    pub job_id: JobId,
    /// Every step of making this invoice has a key derived from this one.
    pub idempotency_key: Uuid,
    pub amount: Cents,
    pub customer_email: String,
    pub customer_name: String,
    pub description: String,
}

/// An invoice at Stripe.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StripeInvoice {
    pub id: String,
    pub status: StripeInvoiceStatus,
    pub amount_due: i64,
    pub currency: String,
    pub hosted_invoice_url: Option<String>,
    pub invoice_pdf: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StripeInvoiceStatus {
    Draft,
    Open,
    Paid,
    Void,
    Uncollectible,
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

/// The part of an error that is safe to keep.
#[derive(Deserialize)]
struct Refusal {
    error: RefusalReason,
}

#[derive(Deserialize)]
struct RefusalReason {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
}

impl Stripe {
    /// Prepares the client. Connects to nothing.
    ///
    /// # Errors
    /// The cryptography of TLS is not available.
    pub(crate) fn new(settings: StripeSettings) -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            // The settings allow http for this machine alone.
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(https);
        let webhook_secret = WebhookSecret::new(&settings.webhook_secret)?;
        Ok(Self { http, settings: Arc::new(settings), webhook_secret })
    }

    /// Creates a customer. Returns its id.
    pub(super) async fn create_customer(&self, draft: &Draft) -> Result<String, Failure> {
        let form = [("email", &*draft.customer_email), ("name", &*draft.customer_name)];
        let created: Created = self.post("/v1/customers", &draft.step("customer"), &form).await?;
        Ok(created.id)
    }

    /// Creates an empty draft, which Stripe neither finalizes nor sends by itself.
    pub(super) async fn create_invoice(&self, draft: &Draft, customer: &str) -> Result<StripeInvoice, Failure> {
        let form = [
            ("customer", customer),
            ("currency", "usd"),
            ("collection_method", "send_invoice"),
            ("days_until_due", DAYS_UNTIL_DUE),
            ("auto_advance", "false"),
            ("pending_invoice_items_behavior", "exclude"),
            ("description", &draft.description),
            ("metadata[stm_invoice]", &draft.id.0.to_string()),
            ("metadata[stm_job]", &draft.job_id.0.to_string()),
        ];
        self.post("/v1/invoices", &draft.step("invoice"), &form).await
    }

    /// Adds the draft's only item.
    pub(super) async fn create_item(&self, draft: &Draft, customer: &str, invoice: &str) -> Result<(), Failure> {
        let form = [
            ("customer", customer),
            ("invoice", invoice),
            ("currency", "usd"),
            ("amount", &draft.amount.0.to_string()),
            ("description", &draft.description),
        ];
        self.post("/v1/invoiceitems", &draft.step("item"), &form).await.map(|_: Created| ())
    }

    /// Makes a draft an invoice that can be paid.
    pub(super) async fn finalize(&self, draft: &Draft, invoice: &str) -> Result<StripeInvoice, Failure> {
        let path = format!("/v1/invoices/{invoice}/finalize");
        self.post(&path, &draft.step("finalize"), &[("auto_advance", "false")]).await
    }

    /// Makes sure that an invoice is not paid any more.
    pub(super) async fn void(&self, draft: &Draft, invoice: &str) -> Result<StripeInvoice, Failure> {
        self.post(&format!("/v1/invoices/{invoice}/void"), &draft.step("void"), &[]).await
    }

    /// Reads an invoice.
    pub(super) async fn find_invoice(&self, invoice: &str) -> Result<StripeInvoice, Failure> {
        self.send(Method::GET, &format!("/v1/invoices/{invoice}"), None, Body::empty()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Result<T, Failure> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Method::POST, path, Some(key), Body::from(form)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Body,
    ) -> Result<T, Failure> {
        let later = |why: &str| Failure::Later { why: why.to_owned(), is_replayed: false };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.settings.api_base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.settings.secret_key.expose_secret()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("stripe-version", API_VERSION);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(body).map_err(|_| Failure::Final("the request cannot be built".into()))?;
        let answer = async {
            let response = self.http.request(request).await.map_err(|_| later("connection"))?;
            let (head, body) = response.into_parts();
            let body = to_bytes(Body::new(body), MAX_ANSWER_BYTES).await.map_err(|_| later("answer cut off"))?;
            Ok((head, body))
        };
        let (head, body) = tokio::time::timeout(STEP_TIMEOUT, answer).await.map_err(|_| later("timeout"))??;
        if head.status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| later("the answer cannot be read"));
        }
        let is_replayed = head.headers.get("idempotent-replayed").is_some_and(|value| value == "true");
        Err(failure(head.status, &body, is_replayed))
    }
}

impl Draft {
    /// The idempotency key of a step.
    fn step(&self, name: &str) -> String {
        format!("stm-{}-{name}", self.idempotency_key)
    }
}

/// The failure behind an answer. A wrong key, too many requests and conflicts pass; what is wrong with the request stays.
fn failure(status: StatusCode, body: &[u8], is_replayed: bool) -> Failure {
    let reason = serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error);
    let words = reason.into_iter().flat_map(|reason| [reason.kind, reason.code, reason.param]).flatten();
    let mut why = status.as_u16().to_string();
    for word in words.filter(|word| is_name(word)) {
        why.push(' ');
        why.push_str(&word);
    }
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::NOT_FOUND => Failure::Final(why),
        _ => Failure::Later { why, is_replayed },
    }
}

/// Whether a word of Stripe's is a name of its own, and no data.
fn is_name(word: &str) -> bool {
    word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_names_and_no_data() {
        let body = br#"{"error": {"type": "invalid_request_error", "code": "email_invalid", "param": "email",
                                   "message": "Invalid email: ann@example.com"}}"#;
        let why = "400 invalid_request_error email_invalid email".to_owned();
        assert_eq!(failure(StatusCode::BAD_REQUEST, body, false), Failure::Final(why));
        let body = br#"{"error": {"type": "ann@example.com"}}"#;
        for status in [401, 403, 409, 429, 500, 503] {
            let why = status.to_string();
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(failure(status, body, true), Failure::Later { why, is_replayed: true });
        }
    }
}
