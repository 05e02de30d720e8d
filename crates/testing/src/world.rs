//! A database, a server process and an HTTP client per test; all of them gone afterwards.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::process::Process;
use crate::server::{Environment, PUBLIC_URL, Server, environment};
use crate::token::access_token;
use crate::{Database, PATIENCE, contract, execute};

/// A service with a database: one LSM, two services of the catalogue.
pub struct World {
    pub server: Server,
    pub database: Database,
    http: reqwest::Client,
}

/// A user who is logged in.
#[derive(Clone)]
pub struct User {
    pub id: i64,
    pub email: String,
    pub token: String,
    pub refresh_token: String,
}

/// A provider who can be booked.
#[derive(Clone)]
pub struct Provider {
    pub user: User,
    pub id: i64,
    pub service_id: i64,
}

/// A response with its body read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of an answer that must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}

/// A file that was opened.
pub struct Opened {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Opened {
    /// The text of a header; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }
}

pub const REGION: &str = "New York";
pub const ZIP_CODE: &str = "10001";
pub const PASSWORD: &str = "correct horse battery staple";

impl World {
    /// Starts the program on a database of its own.
    pub async fn start(program: &str) -> Self {
        Self::start_with(program, &[]).await
    }

    /// As [`start`](Self::start), with more variables.
    pub async fn start_with(program: &str, more: &[(&str, &str)]) -> Self {
        Self::start_on(program, Database::create().await, more).await
    }

    /// As [`start_with`](Self::start_with), on this database.
    pub async fn start_on(program: &str, database: Database, more: &[(&str, &str)]) -> Self {
        let world = Self::start_empty(program, database, more);
        world
            .sql(&format!(
                "insert into stm.users (email, first_name, last_name, role) values ('lsm@example.com', 'Lena', 'Local', 'local_service_manager');
                 insert into stm.local_service_managers (user_id, region) select id, '{REGION}' from stm.users where email = 'lsm@example.com';
                 insert into stm.services (name, category) values ('Plumbing', 'Repairs'), ('House cleaning', 'Cleaning');"
            ))
            .await;
        world
    }

    /// Starts the program without an LSM and without services.
    pub fn start_empty(program: &str, database: Database, more: &[(&str, &str)]) -> Self {
        let server = Server::start(program, &environment(&database, more));
        Self { server, database, http: reqwest::Client::builder().no_proxy().build().expect("an HTTP client") }
    }

    /// The environment of another process on this database.
    pub fn environment(&self, more: &[(&str, &str)]) -> Environment {
        environment(&self.database, more)
    }

    pub async fn sql(&self, sql: &str) {
        execute(&mut self.database.session().await, sql).await;
    }

    /// The number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut self.database.session().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The text that a query returns.
    pub async fn text(&self, sql: &str) -> String {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut self.database.session().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn request(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        // The web client says so of every request, with or without a body.
        let mut request = self.raw(method, path).header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        Self::answer(request).await
    }

    pub fn raw(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.base_url()))
    }

    /// The client of HTTP, for requests to another process.
    pub const fn client_of_http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends a request. Its answer must be what the API's documents say: see [`contract`].
    pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let (client, request) = request.timeout(PATIENCE).build_split();
        let request = request.expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        contract::check(method.as_str(), &path, status.as_u16(), &body);
        Answer { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, None, None).await
    }

    pub async fn get_as(&self, who: &User, path: &str) -> Answer {
        self.request(Method::GET, path, Some(&who.token), None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, None, Some(body)).await
    }

    pub async fn post_as(&self, who: &User, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, Some(&who.token), Some(body)).await
    }

    pub async fn patch_as(&self, who: &User, path: &str) -> Answer {
        self.request(Method::PATCH, path, Some(&who.token), None).await
    }

    pub async fn delete_as(&self, who: &User, path: &str) -> Answer {
        self.request(Method::DELETE, path, Some(&who.token), None).await
    }

    pub async fn put_as(&self, who: &User, path: &str, body: &Value) -> Answer {
        self.request(Method::PUT, path, Some(&who.token), Some(body)).await
    }

    /// Uploads files in a field of a form, with other fields.
    pub async fn upload(
        &self,
        who: &User,
        path: &str,
        field: &str,
        files: Vec<(&str, Vec<u8>)>,
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut form = Form::new();
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        for (name, bytes) in files {
            form = form.part(field.to_owned(), Part::bytes(bytes).file_name(name.to_owned()));
        }
        Self::answer(self.raw(Method::POST, path).bearer_auth(&who.token).multipart(form)).await
    }

    /// Opens a URL of a file as an image tag of a page elsewhere does.
    pub async fn open(&self, url: &str) -> Opened {
        self.open_with(Method::GET, url, &[]).await
    }

    /// As [`open`](Self::open), with headers.
    pub async fn open_with(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Opened {
        let path = url.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("{url} is not one of the service's"));
        let mut request = self.raw(method, path).timeout(PATIENCE).header("origin", "https://elsewhere.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Opened { status, headers, bytes: response.bytes().await.expect("a body").to_vec() }
    }

    /// Registers a customer.
    pub async fn customer(&self) -> User {
        self.register(&customer_registration(&unique_email("customer"))).await
    }

    /// Registers a provider, and approves it as its LSM would.
    pub async fn provider(&self, service: &str) -> Provider {
        let user = self.register(&provider_registration(&unique_email("provider"))).await;
        self.sql(&format!(
            "update stm.providers set status = 'active' where user_id = {0};
             insert into stm.provider_services (provider_id, service_id)
             select p.id, s.id from stm.providers p, stm.services s where p.user_id = {0} and s.name = '{service}';",
            user.id
        ))
        .await;
        let id = self.number(&format!("select id from stm.providers where user_id = {}", user.id)).await;
        let service_id = self.number(&format!("select id from stm.services where name = '{service}'")).await;
        Provider { user, id, service_id }
    }

    /// Gives a provider a document that its LSM has verified.
    pub async fn verified_document(&self, provider: i64) {
        self.sql(&format!(
            "with file as (
                 insert into stm.files (id, owner_id, purpose, state, key, name, content_type, bytes, received_bytes, sha256)
                 select gen_random_uuid(), user_id, 'provider_document', 'attached', 'files/document-' || id, 'licence.pdf',
                        'application/pdf', 1, 1, sha256('')
                 from stm.providers where id = {provider}
                 returning id
             )
             insert into stm.provider_documents (provider_id, file_id, file_name, description, status, reviewed_by, reviewed_at)
             select p.id, file.id, 'licence.pdf', '', 'verified', l.user_id, now()
             from file, stm.providers p join stm.local_service_managers l on l.id = p.lsm_id
             where p.id = {provider}"
        ))
        .await;
    }

    /// The region's LSM, logged in.
    pub async fn lsm(&self) -> User {
        self.logged_in("lsm@example.com", "local_service_manager").await
    }

    /// An admin, logged in.
    pub async fn admin(&self) -> User {
        let email = unique_email("admin");
        self.sql(&format!(
            "insert into stm.users (email, first_name, last_name, role) values ('{email}', 'Ada', 'Admin', 'admin')"
        ))
        .await;
        self.logged_in(&email, "admin").await
    }

    /// A user who is in the database already, with an access token that the service would issue.
    pub async fn logged_in(&self, email: &str, role: &str) -> User {
        let id = self.number(&format!("select id from stm.users where email = '{email}'")).await;
        let token = access_token(id, email, role, Duration::from_secs(600));
        User { id, email: email.to_owned(), token, refresh_token: String::new() }
    }

    async fn register(&self, registration: &Value) -> User {
        let session = self.post("/auth/register", registration).await.expect(201);
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        User {
            id: session["user"]["id"].as_i64().expect("an id"),
            email: text(&session["user"]["email"]),
            token: text(&session["accessToken"]),
            refresh_token: text(&session["refreshToken"]),
        }
    }

    /// Books. Returns the answer's body.
    pub async fn book(&self, customer: &User, provider: &Provider) -> Value {
        self.post_as(customer, "/customer/booking", &booking(provider)).await.expect(201)
    }

    /// Inserts a job as a booking would, past its rules. Returns its id.
    pub async fn new_job(&self, session: &mut PgConnection, customer: &User, provider: &Provider) -> i64 {
        let sql = format!(
            "with job as (
                 insert into stm.jobs (customer_id, provider_id, service_id, price_cents, customer_budget_cents, zipcode, response_deadline)
                 select c.id, {}, {}, 10000, 10000, '{ZIP_CODE}', now() + interval '1 hour' from stm.customers c where c.user_id = {}
                 returning id
             ), chat as (
                 insert into stm.chats (job_id) select id from job returning id
             ), members as (
                 insert into stm.chat_members (chat_id, user_id, side)
                 select chat.id, m.id, m.side from chat, (values ({2}::bigint, 'customer'), ({3}::bigint, 'service_provider')) as m (id, side)
             )
             select id from job",
            provider.id, provider.service_id, customer.id, provider.user.id
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(session).await.expect("a job")
    }

    /// Runs a script of `tests/clients` with the real socket.io-client. Returns its last line, which is JSON.
    pub async fn client(&self, script: &str, arguments: &Value) -> Value {
        let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients"));
        assert!(directory.join("node_modules").is_dir(), "run `npm ci` in tests/clients first: `make test` does");
        let mut command = Command::new("node");
        command.current_dir(directory).arg(script).arg(arguments.to_string()).env("BASE_URL", self.server.base_url());
        command.env("SQL_URL", self.database.direct_url());
        let script = script.to_owned();
        let finished = tokio::task::spawn_blocking(move || Process::spawn(&mut command).wait(4 * PATIENCE)).await;
        let (status, output) = finished.unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(status.success(), "{script} failed\n{output}");
        let report = output.lines().last().unwrap_or_default();
        serde_json::from_str(report).unwrap_or_else(|error| panic!("{script}: {error}\n{output}"))
    }
}

pub fn unique_email(who: &str) -> String {
    format!("{who}-{:016x}@example.com", rand::random::<u64>())
}

pub fn customer_registration(email: &str) -> Value {
    json!({
        "email": email, "password": PASSWORD, "phoneNumber": "(212) 555-0123", "firstName": "Ann", "lastName": "Archer",
        "role": "customer", "address": "1 Main Street", "region": REGION, "zipcode": ZIP_CODE,
    })
}

pub fn provider_registration(email: &str) -> Value {
    json!({
        "email": email, "password": PASSWORD, "phoneNumber": "+1 212 555 0124", "firstName": "Pete", "lastName": "Pipes",
        "role": "PROVIDER", "businessName": "Pete's Pipes", "zipCodes": [ZIP_CODE, "10002"], "minPrice": 80, "maxPrice": 250.5,
        "region": REGION, "acceptedTerms": true,
    })
}

pub fn booking(provider: &Provider) -> Value {
    json!({
        "serviceId": provider.service_id, "providerId": provider.id, "zipcode": ZIP_CODE, "location": "1 Main Street",
        "answers": {"Rooms": "3"}, "customerBudget": 120.5,
    })
}
