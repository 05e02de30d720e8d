//! What is compared with pgbench: a request, and the same work as a transaction.

use chrono::{Days, Utc};
use serde_json::json;
use stm_backend::types::Role;
use testing::pgbench::Pgbench;
use testing::{Database, execute};

use crate::transactions::{reading, statement, statement_and_set, writing};
use crate::{pooler_connections, tokens};

/// Customer `n` is user and customer 1000000 + n, provider `n` is user and provider 2000000 + n.
const CUSTOMERS: usize = 5000;
const PROVIDERS: usize = 5000;
const FIRST_CUSTOMER: usize = 1_000_000;
const FIRST_PROVIDER: usize = 2_000_000;

pub struct Workload<'a> {
    pub name: &'static str,
    pub request: Box<dyn Fn(usize) -> String + 'a>,
    pub transaction: Pgbench,
    /// Whether every request makes a job.
    pub makes_jobs: bool,
}

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

/// The cheapest request of a customer.
pub fn profile(tokens: &[String]) -> Workload<'_> {
    let prepare = format!("\\set user_id random({FIRST_CUSTOMER}, {FIRST_CUSTOMER} + {CUSTOMERS} - 1)");
    let script = reading(&prepare, &[statement("where customer_id = c.id", &[":user_id"])]);
    Workload {
        name: "profile",
        request: Box::new(|number| get_as("/customer/profile", &tokens[number % CUSTOMERS])),
        transaction: Pgbench::new(&script, "extended", pooler_connections()),
        makes_jobs: false,
    }
}

/// A booking. Each number is another pair of customer and provider, so that none is refused for an open job.
pub fn booking(tokens: &[String]) -> Workload<'_> {
    let date = (Utc::now() + Days::new(30)).format("%Y-%m-%dT10:00:00Z").to_string();
    let transaction = booking_transaction(&date);
    let request = move |number: usize| {
        let customer = number % CUSTOMERS;
        let provider = FIRST_PROVIDER + (customer + number / CUSTOMERS) % PROVIDERS;
        let body = json!({
            "serviceId": 1_000_000, "providerId": provider, "zipcode": "10001", "location": "5 Main Street, Apt 3",
            "answers": {"Rooms": "3", "Pets": "none"}, "preferredDate": date, "customerBudget": 150,
            "inPersonVisitCost": 25, "requiresInPersonVisit": true, "images": ["https://images.example/1.jpg"],
            "projectSizeSqft": 900,
        });
        let body = body.to_string();
        format!(
            "POST /customer/booking HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            tokens[customer],
            body.len()
        )
    };
    Workload { name: "booking", request: Box::new(request), transaction, makes_jobs: true }
}

/// Each client counts for itself, in steps of the number of clients, from `first` on. The service books with the provider
/// at the same place in the other half.
fn booking_transaction(date: &str) -> Pgbench {
    let clients = pooler_connections();
    let prepare = format!(
        "\\set number :number + {clients}\n\
         \\set customer (:first + :number + :client_id) % {CUSTOMERS}\n\
         \\set customer_id {FIRST_CUSTOMER} + :customer\n\
         \\set provider_id {FIRST_PROVIDER} + \
             (:customer + (:first + :number + :client_id) / {CUSTOMERS} + {PROVIDERS} / 2) % {PROVIDERS}"
    );
    let job = [
        ":customer_id",
        ":provider_id",
        ":service_id",
        ":price_cents",
        ":zipcode",
        ":location",
        ":answers",
        ":images",
        ":visit",
        ":visit_cents",
        ":size_sqft",
        ":date",
        ":date",
        ":customer_id",
    ];
    let chat = [":job_id", ":customer_id", ":provider_id", "array[:customer_id]", ":sides", ":messages"];
    let statements = [
        statement("for no key update of c", &[":customer_id"]),
        statement("from stm.providers where id = $1 for share", &[":provider_id"]),
        statement("as \"has_unpaid_job!\"", &[":customer_id", ":service_id", ":provider_id", ":zipcode"]),
        statement_and_set("$14, 'book', 'new'", &job, &[("\"id: JobId\"", "job_id")]),
        statement("insert into stm.chats (job_id, last_seq)", &chat),
        statement(
            "1 + (select count(*) from stm.notifications n",
            &[":provider_id", ":type", ":title", ":message", ":metadata"],
        ),
    ];
    let mut pgbench = Pgbench::new(&writing(&prepare, &statements), "extended", clients);
    // As long as what the service writes.
    let message = "New booking request: Benchmarking\nLocation: 5 Main Street, Apt 3\n\
                   Preferred date: 2030-01-01 10:00 UTC\nBudget: $150.00\nPets: none\nRooms: 3";
    for (name, value) in [
        ("number", "0"),
        ("service_id", "1000000"),
        ("price_cents", "15000"),
        ("zipcode", "10001"),
        ("location", "5 Main Street, Apt 3"),
        ("answers", r#"{"Rooms":"3","Pets":"none"}"#),
        ("images", "{https://images.example/1.jpg}"),
        ("visit", "true"),
        ("visit_cents", "2500"),
        ("size_sqft", "900"),
        ("date", date),
        ("sides", "{customer}"),
        ("messages", &format!("{{\"{message}\"}}")),
        ("type", "job"),
        ("title", "New job request"),
        ("message", "Ann Archer has requested Benchmarking"),
        ("metadata", r#"{"jobId": 1000000, "chatId": "018f0000-0000-7000-8000-000000000000"}"#),
    ] {
        pgbench.set(name, value);
    }
    pgbench
}

/// A GET request.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")
}

/// A GET request of somebody who is logged in.
pub fn get_as(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n")
}
