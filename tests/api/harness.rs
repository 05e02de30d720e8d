//! A database, a server process and an HTTP client per test; all of them gone afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use doors::url::{ConnectionString, Secret};
use doors::{Pooler, PoolerSettings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use stm_backend::auth::AccessTokens;
use stm_backend::types::{Role, UserId};
use testing::process::{Process, nap};
pub use testing::{Database, PATIENCE, execute};

pub const JWT_SECRET: &str = "a secret of the tests, thirty-two bytes";

/// The `serve` process. Killed when dropped.
pub struct Server {
    process: Process,
    pub port: u16,
}

/// A pooler door of the test's own, to the same database.
pub fn pooler(database: &Database, max_connections: u32) -> Pooler {
    let url = ConnectionString::parse(Secret::DatabaseUrl, &database.database_url()).expect("a URL");
    let statement_timeout = Duration::from_secs(20);
    Pooler::new(&url, &PoolerSettings { max_connections, statement_timeout, ..PoolerSettings::default() })
        .expect("a door")
}

/// What the process is told; later entries win.
pub type Environment = Vec<(String, String)>;

pub fn environment(database: &Database, more: &[(&str, &str)]) -> Environment {
    let mut environment = vec![
        ("DATABASE_URL".to_owned(), database.database_url()),
        ("DIRECT_URL".to_owned(), database.direct_url()),
        ("JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
    ];
    // The suite runs with each setting, see scripts/test.
    environment.extend(std::env::var("POOLER_WIRE").map(|wire| ("POOLER_WIRE".to_owned(), wire)));
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

impl Server {
    /// Starts the process and waits until it listens.
    pub fn start(environment: &Environment) -> Self {
        Self::spawn(environment, tempfile::tempdir().expect("a directory").path()).until_it_listens()
    }

    /// Starts the process in a directory that holds its secrets.
    pub fn start_in(directory: &tempfile::TempDir) -> Self {
        Self::spawn(&Vec::new(), directory.path()).until_it_listens()
    }

    /// Runs the process to its end, which must come by itself.
    pub fn run_to_exit(environment: &Environment) -> (ExitStatus, String) {
        Self::spawn(environment, tempfile::tempdir().expect("a directory").path()).process.wait(PATIENCE)
    }

    /// As [`run_to_exit`](Self::run_to_exit), in a directory that holds secrets.
    pub fn run_in_to_exit(directory: &tempfile::TempDir) -> (ExitStatus, String) {
        Self::spawn(&Vec::new(), directory.path()).process.wait(PATIENCE)
    }

    fn spawn(environment: &Environment, directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
        command.current_dir(directory).env_clear();
        if !environment.is_empty() {
            command.env("PORT", "0").env("HOST", "127.0.0.1");
        }
        if let Ok(filter) = std::env::var("RUST_LOG") {
            command.env("RUST_LOG", filter);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self { process: Process::spawn(&mut command), port: 0 }
    }

    fn until_it_listens(mut self) -> Self {
        let started = Instant::now();
        loop {
            let output = self.output();
            if let Some((_, port)) = output.rsplit_once("STM Backend running at port ") {
                self.port = port.split_whitespace().next().and_then(|port| port.parse().ok()).expect("a port");
                return self;
            }
            if let Some(status) = self.process.has_ended() {
                panic!("the server ended with {status}: {output}");
            }
            assert!(started.elapsed() < PATIENCE, "the server does not listen: {output}");
            nap();
        }
    }

    /// All that the process has printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("a process");
        self.process.child.wait().expect("its end");
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE).0
    }
}

/// A service with a database, ready to be used.
pub struct World {
    pub server: Server,
    pub database: Database,
    http: reqwest::Client,
}

/// Somebody who is logged in.
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

/// An answer.
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

pub const REGION: &str = "New York";
pub const ZIP_CODE: &str = "10001";
pub const PASSWORD: &str = "correct horse battery staple";

impl World {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(more: &[(&str, &str)]) -> Self {
        Self::start_on(Database::create().await, more).await
    }

    pub async fn start_on(database: Database, more: &[(&str, &str)]) -> Self {
        let server = Server::start(&environment(&database, more));
        let world =
            Self { server, database, http: reqwest::Client::builder().no_proxy().build().expect("an HTTP client") };
        world
            .sql(&format!(
                "insert into stm.users (email, first_name, last_name, role) values ('lsm@example.com', 'Lena', 'Local', 'local_service_manager');
                 insert into stm.local_service_managers (user_id, region) select id, '{REGION}' from stm.users where email = 'lsm@example.com';
                 insert into stm.services (name, category) values ('Plumbing', 'Repairs'), ('House cleaning', 'Cleaning');"
            ))
            .await;
        world
    }

    pub async fn sql(&self, sql: &str) {
        execute(&mut self.database.session().await, sql).await;
    }

    /// A number that a query gives.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut self.database.session().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn request(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.server.base_url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::answer(request).await
    }

    pub fn raw(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.base_url()))
    }

    pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.timeout(PATIENCE).send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
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

    /// A text that a query gives.
    pub async fn text(&self, sql: &str) -> String {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut self.database.session().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
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

    /// The region's LSM, logged in.
    pub async fn lsm(&self) -> User {
        self.logged_in("lsm@example.com", Role::LocalServiceManager).await
    }

    /// An admin, logged in.
    pub async fn admin(&self) -> User {
        let email = unique_email("admin");
        self.sql(&format!(
            "insert into stm.users (email, first_name, last_name, role) values ('{email}', 'Ada', 'Admin', 'admin')"
        ))
        .await;
        self.logged_in(&email, Role::Admin).await
    }

    /// Somebody who does not register: with an access token that the service would give.
    async fn logged_in(&self, email: &str, role: Role) -> User {
        let id = self.number(&format!("select id from stm.users where email = '{email}'")).await;
        let tokens = AccessTokens::new(&JWT_SECRET.into(), Duration::from_secs(600));
        let token = tokens.issue(UserId(id), email.to_owned(), role, None, chrono::Utc::now()).expect("a token");
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

    /// Books, and gives the answer's body.
    pub async fn book(&self, customer: &User, provider: &Provider) -> Value {
        self.post_as(customer, "/customer/booking", &booking(provider)).await.expect(201)
    }

    /// A job as it is after a booking, whatever stands in the customer's way; gives its id.
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

    /// Runs a script of `tests/clients` with the real socket.io-client; gives its last line, which is JSON.
    pub async fn client(&self, script: &str, arguments: &Value) -> Value {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
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
