//! A database, a server process and an HTTP client per test; all of them gone afterwards.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stm_backend::auth::AccessTokens;
use stm_backend::types::{Role, UserId};
use tempfile::TempDir;

/// How long anything that should happen soon may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const JWT_SECRET: &str = "a secret of the tests, thirty-two bytes";

/// A database of this test alone.
pub struct Database {
    pooled: String,
    direct: String,
    admin: String,
}

impl Database {
    /// On the stack that all tests share.
    pub async fn create() -> Self {
        Self::create_on(&url("DATABASE_URL"), &url("DIRECT_URL")).await
    }

    /// On another stack.
    pub async fn create_on(pooler_url: &str, admin_url: &str) -> Self {
        let name = format!("stm_test_{:016x}", rand::random::<u64>());
        let mut admin = PgConnection::connect(admin_url).await.expect("PostgreSQL at DIRECT_URL");
        execute(&mut admin, &format!("create database {name}")).await;
        let on = |server: &str| {
            let (server, _) = server.rsplit_once('/').expect("a URL with a database");
            format!("{server}/{name}")
        };
        Self { pooled: on(pooler_url), direct: on(admin_url), admin: admin_url.to_owned() }
    }

    /// Through PgBouncer.
    pub fn database_url(&self) -> String {
        self.pooled.clone()
    }

    /// Straight to PostgreSQL.
    pub fn direct_url(&self) -> String {
        self.direct.clone()
    }

    /// A session for looking and preparing, beside the service.
    pub async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.direct_url()).await.expect("a session")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let admin = self.admin.clone();
        let name = self.direct.rsplit_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
        // Not in the test's own runtime, which may be unwinding.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut session = PgConnection::connect(&admin).await?;
                sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
                    .execute(&mut session)
                    .await
            })
        });
        let _best_effort = dropped.join();
    }
}

/// A stack of PostgreSQL and `PgBouncer` of a test's own; taken down when dropped.
pub struct Stack {
    directory: TempDir,
    ports: [u16; 2],
    settings: Environment,
}

impl Stack {
    pub async fn up() -> Self {
        Self::up_with(&[]).await
    }

    /// With settings of `scripts/stack`.
    pub async fn up_with(settings: &[(&str, &str)]) -> Self {
        let stack = Self {
            directory: tempfile::tempdir().expect("a directory"),
            ports: [lasting_port(), lasting_port()],
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        stack.run("up").await;
        stack
    }

    /// A command of `scripts/stack`.
    pub async fn run(&self, what: &str) {
        let mut command = self.command(what);
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("a task").expect("scripts/stack");
        assert!(output.status.success(), "stack {what}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, what: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stack");
        let mut command = Command::new(script);
        command.arg(what).env("STACK_DIR", self.directory.path().join("stack"));
        command.env("PG_PORT", self.ports[0].to_string()).env("POOLER_PORT", self.ports[1].to_string());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub async fn database(&self) -> Database {
        let at = |port| format!("postgres://stm:stm-local-password@127.0.0.1:{port}/stm");
        Database::create_on(&at(self.ports[1]), &at(self.ports[0])).await
    }

    /// A path for a file of the test's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _best_effort = self.command("down").output();
    }
}

/// A free port that stays free while its server is away: not one of those that the system gives to outgoing
/// connections, among which are those that keep trying to reach the server.
pub fn lasting_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let drawn = std::iter::repeat_with(|| 10_000 + rand::random::<u16>() % 20_000);
    drawn.take(1000).find(is_free).expect("a free port")
}

/// A secret of the local stack.
pub fn url(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

pub async fn execute(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A child process whose output is collected. Killed when dropped.
struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            collect(child.stdout.take().expect("stdout"), &output),
            collect(child.stderr.take().expect("stderr"), &output),
        ];
        Self { child, output, readers }
    }

    fn output(&self) -> String {
        self.output.lock().expect("output").clone()
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait")
    }

    /// Waits for the process to end by itself; gives its status and all that it printed.
    fn wait(&mut self, patience: Duration) -> (ExitStatus, String) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                self.readers.drain(..).for_each(|reader| reader.join().expect("a reader"));
                return (status, self.output());
            }
            assert!(started.elapsed() < patience, "the process does not end: {}", self.output());
            nap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- process {} printed:\n{}", self.child.id(), self.output());
        }
    }
}

fn collect(from: impl std::io::Read + Send + 'static, into: &Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    let into = into.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut output = into.lock().expect("output");
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// The `serve` process. Killed when dropped.
pub struct Server {
    process: Process,
    pub port: u16,
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

fn nap() {
    std::thread::sleep(Duration::from_millis(10));
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
