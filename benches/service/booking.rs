//! A booking, and the same work as a transaction of pgbench.

use chrono::{Days, Utc};
use serde_json::json;
use testing::pgbench::Pgbench;
use testing::report::Aim;

use crate::compare::Measure;
use crate::pooler_connections;
use crate::transactions::{statement, writing};
use crate::workloads::{CUSTOMERS, FIRST_CUSTOMER, FIRST_PROVIDER, PROVIDERS, Workload};

/// The peer's name of the service's statement, and a phrase that no other has.
pub const STATEMENTS: [(&str, &str); 1] = [("book", "from stm.book_v1(")];

const AIMS: &[(Measure, Aim)] = &[
    (Measure::Server, Aim::AtMost(150.0)),
    (Measure::Postgres, Aim::AtMost(700.0)),
    (Measure::PerSecond, Aim::AtLeast(1500.0)),
];

/// Each number is another pair of customer and provider, so that no booking is refused for an open job.
pub fn booking(tokens: &[String]) -> Workload<'_> {
    let date = (Utc::now() + Days::new(30)).format("%Y-%m-%dT10:00:00Z").to_string();
    let mut transaction = Pgbench::new(&script(), "extended", pooler_connections());
    for (name, value) in VARIABLES {
        transaction.set(name, value);
    }
    transaction.set("date", date.as_str());
    let request = move |number| request(number, tokens, &date);
    Workload {
        name: "booking",
        request: Box::new(request),
        transaction: Some(transaction),
        makes_jobs: true,
        aims: AIMS,
    }
}

fn request(number: usize, tokens: &[String], date: &str) -> String {
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
}

/// Each client counts by itself from `first` on, in steps of the number of clients. The service books with the provider at
/// the same position in the other half.
fn script() -> String {
    let prepare = format!(
        "\\set number :number + {clients}\n\
         \\set customer (:first + :number + :client_id) % {CUSTOMERS}\n\
         \\set customer_id {FIRST_CUSTOMER} + :customer\n\
         \\set shift (:first + :number + :client_id) / {CUSTOMERS} + {PROVIDERS} / 2\n\
         \\set provider_id {FIRST_PROVIDER} + (:customer + :shift) % {PROVIDERS}",
        clients = pooler_connections(),
    );
    let arguments = ":customer_id :service_id :provider_id :zipcode :location :answers :images '{}' :visit :visit_cents :size_sqft \
                     :date :price_cents gen_random_uuid() array[gen_random_uuid(),gen_random_uuid(),gen_random_uuid()] \
                     :request :details :image_messages :day :max_chars :title :requested";
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    writing(&prepare, &statement(STATEMENTS[0].1, &arguments))
}

/// The arguments that do not differ between bookings: as in a request, and as long as what the service writes.
const VARIABLES: [(&str, &str); 17] = [
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
    ("request", "New booking request: [SERVICE_NAME]"),
    (
        "details",
        "\nLocation: 5 Main Street, Apt 3\nPreferred date: January 1, 2030, 10:00 AM UTC\nBudget: $150.00\nPets: none\nRooms: 3",
    ),
    ("image_messages", r#"{"{\"images\":[\"https://images.example/1.jpg\"],\"count\":1}"}"#),
    ("day", "January 1, 2030, 10:00 AM UTC"),
    ("max_chars", "4000"),
    ("title", "New job request"),
    ("requested", " has requested "),
];
