//! The ten most used reads on a marketplace of 10,000 providers, 100,000 jobs and 1,000,000 messages: latencies, requests
//! per second beside the same SQL in pgbench through the same pooler, and how much slower the median is than on a
//! hundredth of that data. `office.rs` uses the same marketplace.

use std::time::Duration;

use rand::RngExt as _;
use stm_backend::types::Role;
use testing::pgbench::Pgbench;
use testing::report::{Aim, median, say, setting};
use testing::{Database, execute};

use crate::aims::{Line, Tables};
use crate::load::load;
use crate::service::Service;
use crate::transactions::{reading, statement};
use crate::workloads::{self, get, get_as};
use crate::{CONNECTIONS, is_wanted, pooler_connections, tokens};

/// Providers; jobs are ten times as many, messages a hundred times.
pub const SMALL: usize = 100;
pub const LARGE: usize = 10_000;

/// Connections of the load when latencies are measured.
pub const FEW_CONNECTIONS: usize = 4;

/// The most that the median may grow from the small marketplace to the large one, as a factor.
const MAX_GROWTH: f64 = 1.3;

/// The least that the requests per second may be of pgbench's transactions per second, in percent.
const MIN_PERCENT: f64 = 90.0;

/// A request, and the statement that the service sends for it.
struct Read {
    name: &'static str,
    request: fn(&Marketplace) -> String,
    phrase: &'static str,
    arguments: &'static [&'static str],
}

const READS: [Read; 10] = [
    Read {
        name: "search",
        request: |market| get(&format!("/services/search?query=roof&zipcode={}", 20_000 + below(market.zip_codes))),
        phrase: "stm.search_services_at_v1(",
        arguments: &["'roof'", "'roof:*'", "null", "null", "null", ":zip", "20", "0"],
    },
    Read {
        name: "offers",
        request: |market| {
            let provider = market.provider().number;
            let (service, zip) = (3_000_000 + provider % 200, 20_000 + provider * 7 % market.zip_codes);
            get(&format!("/services/{service}/providers?zipcode={zip}"))
        },
        phrase: "stm.list_service_providers_v1(",
        arguments: &[":service", ":zip", "'rating'", "100"],
    },
    Read {
        name: "provider_page",
        request: |market| get(&format!("/providers/seed-business-{}", 3_000_000 + market.provider().number)),
        phrase: "stm.provider_page_v1(",
        arguments: &[":provider", "5"],
    },
    Read {
        name: "dashboard",
        request: |market| get_as("/customers/dashboard", &market.customer().token),
        phrase: "stm.customer_dashboard_v1(",
        arguments: &[":customer"],
    },
    Read {
        name: "customers_jobs",
        request: |market| get_as("/customer/jobs", &market.customer().token),
        phrase: "stm.list_customer_jobs_v1(",
        arguments: &[":customer", "100", "0"],
    },
    Read {
        name: "customers_job",
        request: |market| {
            let customer = market.customer();
            get_as(&format!("/customers/jobs/{}", market.job(customer)), &customer.token)
        },
        phrase: "stm.job_details_v1(",
        arguments: &[":job", ":customer"],
    },
    Read {
        name: "providers_jobs",
        request: |market| get_as("/provider/jobs", &market.provider().token),
        phrase: "stm.list_provider_jobs_v1(",
        arguments: &[":provider", "null", "null", "null", "20", "0"],
    },
    Read {
        name: "chats",
        request: |market| get_as("/chat/customer/chats", &market.customer().token),
        phrase: "stm.list_chats_v1(",
        arguments: &[":customer", "'customer'", "100", "0"],
    },
    Read {
        name: "messages",
        request: |market| {
            let customer = market.customer();
            let path = format!("/chat/019a0000-0000-7000-8000-{:012}/messages", market.job(customer));
            get_as(&path, &customer.token)
        },
        phrase: workloads::MESSAGES,
        arguments: &[
            "('019a0000-0000-7000-8000-' || lpad(:job::bigint::text, 12, '0'))::uuid",
            ":customer",
            "null",
            "null",
            "100",
        ],
    },
    Read {
        name: "notifications",
        request: |market| get_as("/notifications", &market.customer().token),
        phrase: "stm.list_notifications_v1(",
        arguments: &[":customer", "null", "null", "null", "20", "0"],
    },
];

impl Read {
    /// The read as a transaction of pgbench, for a random caller.
    fn transaction(&self) -> Pgbench {
        let prepare = format!(
            "\\set n random(0, 999) * 97 % {customers}\n\
             \\set customer 4000000 + :n\n\
             \\set job 5000000 + :n + {customers} * random(0, 4)\n\
             \\set p random(0, 999) * 97 % {LARGE}\n\
             \\set provider 3000000 + :p\n\
             \\set service 3000000 + :p % 200\n\
             \\set zip 20000 + :p * 7 % {zip_codes}",
            customers = customers(LARGE),
            zip_codes = zip_codes(LARGE),
        );
        let script = reading(&prepare, &statement(self.phrase, self.arguments));
        Pgbench::new(&script, "extended", pooler_connections())
    }
}

/// A database that `marketplace.sql` has filled, and some of its people.
pub struct Marketplace {
    pub database: Database,
    customers: Vec<Person>,
    providers: Vec<Person>,
    /// The LSM of the first region.
    pub lsm: Person,
    pub admin: Person,
    /// How many customers there are in all, of whom `customers` are only some.
    customer_count: usize,
    zip_codes: usize,
}

pub struct Person {
    number: usize,
    pub token: String,
}

const fn customers(providers: usize) -> usize {
    2 * providers
}

const fn zip_codes(providers: usize) -> usize {
    providers / 10
}

fn below(end: usize) -> usize {
    rand::rng().random_range(0..end)
}

impl Marketplace {
    pub async fn create(providers: usize) -> Self {
        say(&format!(
            "a marketplace of {providers} providers, {} jobs and {} messages",
            10 * providers,
            100 * providers
        ));
        let database = Database::create().await;
        Service::start(&database).stop();
        let mut session = database.session().await;
        execute(&mut session, &format!("set stm_seed.providers = {providers}")).await;
        execute(&mut session, include_str!("marketplace.sql")).await;

        let active = "select user_id from stm.providers where id >= 3000000 and status = 'active' order by id % 97, id limit 1000";
        let active = sqlx::query_scalar(active).fetch_all(&mut session).await.expect("providers");
        assert!(active.len() >= providers.min(1000) / 2, "only {} providers", active.len());
        let some = "select user_id from stm.customers where id >= 4000000 order by id % 97, id limit 1000";
        let some = sqlx::query_scalar(some).fetch_all(&mut session).await.expect("customers");
        let admin = "insert into stm.users (id, email, first_name, last_name, role) overriding system value
                     values (2800000, 'seed-admin@example.com', 'Ada', 'Admin', 'admin')";
        execute(&mut session, admin).await;
        let one = |role, user| people(role, user, &[user]).remove(0);
        Self {
            database,
            lsm: one(Role::LocalServiceManager, 2_900_000),
            admin: one(Role::Admin, 2_800_000),
            customers: people(Role::Customer, 4_000_000, &some),
            providers: people(Role::ServiceProvider, 3_000_000, &active),
            customer_count: customers(providers),
            zip_codes: zip_codes(providers),
        }
    }

    fn customer(&self) -> &Person {
        &self.customers[below(self.customers.len())]
    }

    fn provider(&self) -> &Person {
        &self.providers[below(self.providers.len())]
    }

    /// A job of this customer's: each has five.
    fn job(&self, customer: &Person) -> usize {
        5_000_000 + customer.number + self.customer_count * below(5)
    }
}

fn people(role: Role, first: i64, users: &[i64]) -> Vec<Person> {
    let numbers = users.iter().map(|user| usize::try_from(user - first).expect("a number"));
    numbers.zip(tokens::issue(role, users.iter().copied())).map(|(number, token)| Person { number, token }).collect()
}

/// What a read reached in a round.
#[derive(Default)]
pub struct Round {
    p50_small_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    requests_per_s: f64,
    transactions_per_s: f64,
}

/// The reads as transactions of pgbench.
pub fn transactions() -> Vec<Pgbench> {
    READS.iter().map(Read::transaction).collect()
}

pub type Measured = [Vec<Round>; READS.len()];

/// Measures the reads, and adds the worst figures to the aims.
pub async fn section(small: &Marketplace, large: &Marketplace, tables: &mut Tables) -> Option<Measured> {
    if !is_wanted("reads") {
        return None;
    }
    let rounds: usize = setting("BENCH_READS_ROUNDS", 2);
    let duration = Duration::from_secs(setting("BENCH_READS_S", 2));
    let transactions = transactions();
    let mut measured: Measured = std::array::from_fn(|_| Vec::new());
    // The first round warms up.
    for number in 0..=rounds {
        let mut round: [Round; READS.len()] = Default::default();
        let service = Service::start(&small.database);
        for (read, round) in READS.iter().zip(&mut round) {
            let request = |_| (read.request)(small);
            round.p50_small_ms = load(service.port, FEW_CONNECTIONS, duration, 0, &request).await.percentile_ms(50);
        }
        service.stop();
        let service = Service::start(&large.database);
        for ((read, transaction), round) in READS.iter().zip(&transactions).zip(&mut round) {
            let request = |_| (read.request)(large);
            let few = load(service.port, FEW_CONNECTIONS, duration, 0, &request).await;
            (round.p50_ms, round.p99_ms) = (few.percentile_ms(50), few.percentile_ms(99));
            round.requests_per_s = load(service.port, CONNECTIONS, duration, 0, &request).await.per_s;
            round.transactions_per_s = transaction.run(duration, &large.database.service_url()).per_s;
        }
        service.stop();
        say(&format!("reads, round {number}"));
        if number > 0 {
            measured.iter_mut().zip(round).for_each(|(rounds, round)| rounds.push(round));
        }
    }
    let of = |value: fn(&Round) -> f64| {
        let medians = measured.iter().map(|rounds| median(rounds.iter().map(value).collect()));
        READS.iter().map(|read| read.name).zip(medians).collect::<Vec<_>>()
    };
    let slowest = of(Round::percent).into_iter().min_by(|one, other| one.1.total_cmp(&other.1)).expect("ten reads");
    let worst = of(Round::growth).into_iter().max_by(|one, other| one.1.total_cmp(&other.1)).expect("ten reads");
    let line = |what: &str, unit, (read, value): (&str, f64)| Line::new(format!("{what} ({read})"), unit, vec![value]);
    tables.aims.extend([
        line("slowest read: of pgbench's rate", "%", slowest).aim(Aim::AtLeast(MIN_PERCENT)),
        line("p50 growth at 100 times the data", "x", worst).aim(Aim::AtMost(MAX_GROWTH)),
    ]);
    Some(measured)
}

impl Round {
    /// Requests per second, as a percentage of pgbench's transactions per second.
    fn percent(&self) -> f64 {
        100.0 * self.requests_per_s / self.transactions_per_s
    }

    fn growth(&self) -> f64 {
        self.p50_ms / self.p50_small_ms
    }
}

pub fn print(measured: &Measured) {
    println!(
        "\n{:<20} {:>10} {:>10} {:>12} {:>14} {:>14} {:>8}",
        "read (median)", "p50 ms", "p99 ms", "requests/s", "of pgbench", "p50 growth", "aim"
    );
    for (read, rounds) in READS.iter().zip(measured) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let growth = of(Round::growth);
        let met = if growth <= MAX_GROWTH { "met" } else { "missed" };
        println!(
            "{:<20} {:>10.2} {:>10.2} {:>12.0} {:>12.0} % {growth:>14.2} {:>8}",
            read.name,
            of(|round| round.p50_ms),
            of(|round| round.p99_ms),
            of(|round| round.requests_per_s),
            of(Round::percent),
            format!("<={MAX_GROWTH} {met}"),
        );
    }
    println!(
        "\np50 and p99: {FEW_CONNECTIONS} connections. Requests/s: {CONNECTIONS} connections; pgbench: {} clients. Growth: \
         against a hundredth of the data.",
        pooler_connections()
    );
}
