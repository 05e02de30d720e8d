//! Customers who book, look and cancel until told to stop, each request again until it is answered.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::world::{Provider, User, booking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long a booker waits for an answer before it asks again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A customer with a provider of its own, so that what it reads can belong to nobody else.
pub(super) struct Booker {
    pub(super) http: reqwest::Client,
    pub(super) base_url: String,
    pub(super) customer: User,
    pub(super) provider: Provider,
    pub(super) rng: StdRng,
}

/// The jobs that one customer was promised.
pub(super) struct Booked {
    pub(super) customer: User,
    pub(super) jobs: Vec<i64>,
    pub(super) repeated: usize,
}

impl Booker {
    pub(super) async fn book_until(mut self, stop: CancellationToken) -> Booked {
        let mut booked = Booked { customer: self.customer.clone(), jobs: Vec::new(), repeated: 0 };
        while !stop.is_cancelled() {
            let key = format!("booking-{}", booked.jobs.len());
            let job = self.book(&key, &mut booked.repeated).await;
            booked.jobs.push(job);
            self.look(job, "new").await;
            self.cancel(job, &mut booked.repeated).await;
            self.look(job, "cancelled").await;
            sleep(Duration::from_millis(self.rng.random_range(50..500))).await;
        }
        booked
    }

    async fn book(&mut self, key: &str, repeated: &mut usize) -> i64 {
        let body = booking(&self.provider);
        let (status, answer) = self.ask(Method::POST, "/customer/booking", Some(key), Some(&body), repeated).await;
        assert_eq!(status, 201, "{key}: {answer}");
        answer["job"]["id"].as_i64().expect("a job's id")
    }

    /// Cancels. A repetition of a request that was carried out finds nothing to cancel.
    async fn cancel(&mut self, job: i64, repeated: &mut usize) {
        let (path, body) = (format!("/customers/jobs/{job}/action"), json!({"action": "cancel"}));
        let before = *repeated;
        let (status, answer) = self.ask(Method::POST, &path, None, Some(&body), repeated).await;
        assert!(status == 200 || status == 409 && *repeated > before, "{path}: {status} {answer}");
    }

    async fn look(&mut self, job: i64, expected: &str) {
        let (status, seen) = self.ask(Method::GET, &format!("/customers/jobs/{job}"), None, None, &mut 0).await;
        assert_eq!((status, &seen["job"]["id"]), (StatusCode::OK, &json!(job)), "{seen}");
        assert_eq!((&seen["job"]["status"], &seen["provider"]["id"]), (&json!(expected), &json!(self.provider.id)));
        let (_, profile) = self.ask(Method::GET, "/customers/profile", None, None, &mut 0).await;
        assert_eq!(profile["user"]["email"], self.customer.email, "somebody else's profile");
    }

    /// Asks until there is an answer other than 503.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
        repeated: &mut usize,
    ) -> (StatusCode, Value) {
        loop {
            let url = format!("{}{path}", self.base_url);
            let mut request =
                self.http.request(method.clone(), url).bearer_auth(&self.customer.token).timeout(ANSWER_TIMEOUT);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = async {
                let response = request.send().await?;
                let status = response.status();
                Ok::<_, reqwest::Error>((status, response.json().await?))
            };
            match answer.await {
                Ok((StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) => *repeated += 1,
                Ok(answer) => return answer,
            }
            sleep(Duration::from_millis(self.rng.random_range(50..400))).await;
        }
    }
}
