//! What is compared: a request, and the same work as a transaction of pgbench.

use stm_backend::types::Role;
use testing::chats::Chat;
use testing::pgbench::Pgbench;
use testing::report::Aim;
use testing::{Database, execute};

use crate::compare::Measure;
use crate::transactions::{reading, statement};
use crate::{pooler_connections, tokens};

/// Customer `n` is user and customer 1000000 + n, provider `n` is user and provider 2000000 + n.
pub const CUSTOMERS: usize = 5000;
pub const PROVIDERS: usize = 5000;
pub const FIRST_CUSTOMER: usize = 1_000_000;
pub const FIRST_PROVIDER: usize = 2_000_000;

pub struct Workload<'a> {
    pub name: &'static str,
    pub request: Box<dyn Fn(usize) -> String + 'a>,
    pub transaction: Option<Pgbench>,
    /// Whether every request makes a job.
    pub makes_jobs: bool,
    pub aims: &'static [(Measure, Aim)],
}

/// Phrases of the statements of a profile, and of a page of messages.
pub const PROFILE: &str = "stm.customer_profile_v1(";
pub const MESSAGES: &str = "stm.list_messages_v1(";

/// Inserts the people. Returns a token for each customer.
pub async fn seed(database: &Database) -> Vec<String> {
    let mut session = database.session().await;
    execute(&mut session, &format!("set stm_seed.customers = {CUSTOMERS}; set stm_seed.providers = {PROVIDERS}")).await;
    execute(&mut session, include_str!("seed.sql")).await;
    execute(&mut session, "vacuum (analyze)").await;
    execute(&mut session, "checkpoint").await;
    let users = (FIRST_CUSTOMER..FIRST_CUSTOMER + CUSTOMERS).map(|id| i64::try_from(id).expect("small"));
    tokens::issue(Role::Customer, users)
}

/// How many customers read their profiles: few enough that each one's account is still cached as alive from a request
/// shortly before.
const READERS: usize = 250;

/// A customer's own profile: one statement.
pub fn profile(tokens: &[String]) -> Workload<'_> {
    let prepare = format!("\\set user_id random({FIRST_CUSTOMER}, {FIRST_CUSTOMER} + {CUSTOMERS} - 1)");
    let script = reading(&prepare, &statement(PROFILE, &[":user_id"]));
    Workload {
        name: "profile",
        request: Box::new(|number| get_as("/customer/profile", &tokens[number % READERS])),
        transaction: Some(Pgbench::new(&script, "extended", pooler_connections())),
        makes_jobs: false,
        aims: &[(Measure::Server, Aim::AtMost(60.0)), (Measure::ServerPoolerAndPostgres, Aim::AtMost(170.0))],
    }
}

/// The newest 50 messages of a chat, for each of its members. The section about reads has pgbench's side.
pub fn page(chats: &[Chat]) -> Workload<'_> {
    let request = |number: usize| {
        let chat = &chats[number % chats.len()];
        let member = &chat.members[number / chats.len() % chat.members.len()];
        get_as(&format!("/chat/{}/messages?limit=50", chat.id), &member.token)
    };
    Workload {
        name: "page",
        request: Box::new(request),
        transaction: None,
        makes_jobs: false,
        aims: &[(Measure::Server, Aim::AtMost(140.0))],
    }
}

/// A GET request.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")
}

/// A GET request of somebody who is logged in.
pub fn get_as(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n")
}
