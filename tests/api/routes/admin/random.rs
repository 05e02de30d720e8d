//! Random sequences of what everybody does: afterwards the counters, dashboards and reports agree with the rows.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use testing::world::{PASSWORD, Provider, User, World, booking};

use super::Office;
use crate::support::SERVE;
use crate::support::stripe::{StripeAccount, deliver, event, paid, refunded};

/// Sequences, and the steps of each.
const SEQUENCES: usize = 12;
const CUSTOMERS: usize = 5;
const STEPS: usize = 30;

/// What somebody does, with one of the jobs, customers or providers.
#[derive(Debug, Clone, Copy)]
enum Step {
    Book(usize, usize),
    /// Acceptance, the deal and completion, or only the first of them.
    Work(usize, usize),
    Reject(usize),
    Cancel(usize),
    MarkPayment(usize),
    Invoice(usize),
    StripeIsPaid(usize),
    StripeVoids(usize),
    StripeRefunds(usize, i64),
    Review(usize, i64),
    DeleteReview(usize),
    Dispute(usize),
    Resolve(usize),
    BanCustomer(usize),
    UnbanCustomer(usize),
    BanProvider(usize),
    UnbanProvider(usize),
    SetStatus(usize, bool),
    RequestService(usize),
    DecideOnService(bool, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly one of the newest jobs.
    let job = || prop_oneof![3 => 0_usize..3, 1 => 0_usize..12];
    let one_of_three = || 0_usize..3;
    let step = prop_oneof![
        9 => (0..CUSTOMERS, one_of_three()).prop_map(|(customer, provider)| Step::Book(customer, provider)),
        9 => (job(), 1_usize..=3).prop_map(|(job, steps)| Step::Work(job, steps)),
        1 => job().prop_map(Step::Reject),
        1 => job().prop_map(Step::Cancel),
        5 => job().prop_map(Step::MarkPayment),
        4 => job().prop_map(Step::Invoice),
        4 => job().prop_map(Step::StripeIsPaid),
        1 => job().prop_map(Step::StripeVoids),
        1 => (job(), 1_i64..=12_050).prop_map(|(job, cents)| Step::StripeRefunds(job, cents)),
        3 => (job(), 1_i64..=5).prop_map(|(job, rating)| Step::Review(job, rating)),
        1 => job().prop_map(Step::DeleteReview),
        2 => job().prop_map(Step::Dispute),
        1 => job().prop_map(Step::Resolve),
        1 => (0..CUSTOMERS).prop_map(Step::BanCustomer),
        4 => (0..CUSTOMERS).prop_map(Step::UnbanCustomer),
        1 => one_of_three().prop_map(Step::BanProvider),
        4 => one_of_three().prop_map(Step::UnbanProvider),
        2 => (one_of_three(), any::<bool>()).prop_map(|(provider, is_active)| Step::SetStatus(provider, is_active)),
        1 => one_of_three().prop_map(Step::RequestService),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(lsm, admin)| Step::DecideOnService(lsm, admin)),
    ];
    proptest::collection::vec(step, STEPS)
}

/// A first sequence in which everything succeeds.
const OPENING: [Step; 18] = [
    Step::Book(0, 0),
    Step::Work(0, 3),
    Step::Invoice(0),
    Step::StripeIsPaid(0),
    Step::StripeRefunds(0, 1_000),
    Step::Review(0, 4),
    Step::Dispute(0),
    Step::Resolve(0),
    Step::Book(1, 0),
    Step::Work(0, 3),
    Step::MarkPayment(0),
    Step::BanCustomer(2),
    Step::UnbanCustomer(2),
    Step::BanProvider(1),
    Step::UnbanProvider(1),
    Step::RequestService(0),
    Step::DecideOnService(true, true),
    Step::SetStatus(0, false),
];

/// A job, with the numbers of its customer and provider.
#[derive(Clone, Copy)]
struct Deal {
    job: i64,
    customer: usize,
    provider: usize,
}

/// The people, and what they have done.
struct Town {
    office: Office,
    lsm: User,
    stripe: StripeAccount,
    customers: Vec<User>,
    providers: Vec<Provider>,
    deals: Vec<Deal>,
}

impl Town {
    async fn found() -> Self {
        let stripe = StripeAccount::open().await;
        let settings = stripe.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let office = Office::on(World::start_with(SERVE, &settings).await).await;
        let world = &office.world;
        let mut customers = vec![office.customer.clone()];
        while customers.len() < CUSTOMERS {
            customers.push(world.customer().await);
        }
        let providers =
            vec![office.provider.clone(), world.provider("Plumbing").await, world.provider("House cleaning").await];
        let lsm = world.lsm().await;
        Self { lsm, stripe, customers, providers, deals: Vec::new(), office }
    }

    /// The job with this number, the newest being 0; past the oldest, it begins anew.
    fn deal(&self, number: usize) -> Option<Deal> {
        let number = number.checked_rem(self.deals.len())?;
        self.deals.iter().rev().nth(number).copied()
    }

    async fn post(&self, who: &User, path: &str, body: Value) -> u16 {
        self.office.world.post_as(who, path, &body).await.status.as_u16()
    }

    async fn by_customer(&self, job: usize, path: &str, body: Value) -> u16 {
        let Some(deal) = self.deal(job) else { return 0 };
        self.post(&self.customers[deal.customer], &path.replace("{}", &deal.job.to_string()), body).await
    }

    async fn by_provider(&self, job: usize, path: &str, body: Value) -> u16 {
        let Some(deal) = self.deal(job) else { return 0 };
        self.post(&self.providers[deal.provider].user, &path.replace("{}", &deal.job.to_string()), body).await
    }

    async fn by_admin(&self, path: &str, body: Value) -> u16 {
        self.post(&self.office.admin, path, body).await
    }

    async fn customer_id(&self, number: usize) -> i64 {
        let sql = format!("select id from stm.customers where user_id = {}", self.customers[number].id);
        self.office.world.number(&sql).await
    }

    /// Logs in anew, which somebody who is banned cannot.
    async fn login(&self, user: &User) -> Option<User> {
        let login = json!({"email": user.email, "password": PASSWORD});
        let answer = self.office.world.post("/auth/login", &login).await;
        (answer.status == 200)
            .then(|| User { token: answer.body["accessToken"].as_str().expect("a token").to_owned(), ..user.clone() })
    }

    /// Stripe's event about the invoice of a job, if it has one there.
    async fn by_stripe(&self, job: usize, kind: &str, object: impl Fn(&Value) -> Value) -> u16 {
        let Some(deal) = self.deal(job) else { return 0 };
        let sql = format!("select coalesce(max(stripe_invoice_id), '') from stm.invoices where job_id = {}", deal.job);
        let id = self.office.world.text(&sql).await;
        let Some(invoice) = self.stripe.invoices().into_iter().find(|invoice| invoice["id"] == id.as_str()) else {
            return 0;
        };
        deliver(&self.office.world, &event(kind, &object(&invoice))).await;
        200
    }

    /// The id of the first row of a table that belongs to a job, or 0.
    async fn of_job(&self, job: usize, table: &str, more: &str) -> i64 {
        let Some(deal) = self.deal(job) else { return 0 };
        let sql = format!("select coalesce(min(id), 0) from stm.{table} where job_id = {} {more}", deal.job);
        self.office.world.number(&sql).await
    }

    async fn decide_on_service(&self, lsm: bool, admin: bool) -> u16 {
        let sql = "select coalesce(min(id), 0) from stm.service_requests where status in ('pending', 'lsm_approved')";
        let id = self.office.world.number(sql).await;
        let word = |approves: bool| if approves { "approve" } else { "reject" };
        let reason = || json!({"reason": "There is one already"});
        self.post(&self.lsm, &format!("/lsm/service-requests/{id}/{}", word(lsm)), reason()).await;
        self.by_admin(&format!("/admin/service-requests/{id}/{}", word(admin)), reason()).await
    }

    async fn take(&mut self, step: Step) -> u16 {
        let act = "/customers/jobs/{}/action";
        let respond = "/provider/jobs/{}/respond";
        let update = "/provider/jobs/{}/update-status";
        match step {
            Step::Book(customer, provider) => {
                let request = booking(&self.providers[provider]);
                let path = "/customer/booking";
                let answer = self.office.world.post_as(&self.customers[customer], path, &request).await;
                let status = answer.status.as_u16();
                if status == 201 {
                    let job = answer.body["job"]["id"].as_i64().expect("an id");
                    self.deals.push(Deal { job, customer, provider });
                }
                status
            }
            Step::Work(job, steps) => {
                let mut status = 0;
                for step in 0..steps {
                    status = match step {
                        0 => self.by_provider(job, respond, json!({"action": "accept"})).await,
                        1 => self.by_customer(job, act, json!({"action": "close_deal"})).await,
                        _ => self.by_provider(job, update, json!({"action": "mark_complete"})).await,
                    };
                }
                status
            }
            Step::Reject(job) => {
                self.by_provider(job, respond, json!({"action": "reject", "reason": "On holiday"})).await
            }
            Step::Cancel(job) => self.by_customer(job, act, json!({"action": "cancel"})).await,
            Step::MarkPayment(job) => {
                let payment = json!({"action": "mark_payment", "paymentDetails": {"method": "cash"}});
                self.by_provider(job, update, payment).await
            }
            Step::Invoice(job) => self.by_provider(job, "/payments/jobs/{}/send-invoice", json!({})).await,
            Step::StripeIsPaid(job) => self.by_stripe(job, "invoice.paid", paid).await,
            Step::StripeVoids(job) => self.by_stripe(job, "invoice.voided", Value::clone).await,
            Step::StripeRefunds(job, cents) => {
                self.by_stripe(job, "charge.refunded", |invoice| refunded(invoice, cents)).await
            }
            Step::Review(job, rating) => {
                self.by_customer(job, "/customers/jobs/{}/feedback", json!({"rating": rating})).await
            }
            Step::DeleteReview(job) => {
                let id = self.of_job(job, "reviews", "").await;
                self.office.delete(&format!("/admin/reviews/{id}")).await.status.as_u16()
            }
            Step::Dispute(job) => {
                let Some(deal) = self.deal(job) else { return 0 };
                let dispute = json!({"jobId": deal.job, "description": "It leaks"});
                self.by_customer(job, "/customers/disputes", dispute).await
            }
            Step::Resolve(job) => {
                let id = self.of_job(job, "disputes", "and status = 'open'").await;
                let notes = json!({"resolutionNotes": "Settled"});
                self.post(&self.lsm, &format!("/lsm/disputes/{id}/resolve"), notes).await
            }
            Step::BanCustomer(number) => {
                let id = self.customer_id(number).await;
                self.by_admin(&format!("/admin/customers/{id}/ban"), json!({"reason": "Threats"})).await
            }
            Step::UnbanCustomer(number) => {
                let id = self.customer_id(number).await;
                let status = self.by_admin(&format!("/admin/customers/{id}/unban"), json!({})).await;
                if let Some(user) = self.login(&self.customers[number]).await {
                    self.customers[number] = user;
                }
                status
            }
            Step::BanProvider(number) => {
                let id = self.providers[number].id;
                self.by_admin(&format!("/admin/providers/{id}/ban"), json!({"reason": "Fraud"})).await
            }
            Step::UnbanProvider(number) => {
                let id = self.providers[number].id;
                let status = self.by_admin(&format!("/admin/providers/{id}/unban"), json!({})).await;
                if let Some(user) = self.login(&self.providers[number].user).await {
                    self.providers[number].user = user;
                }
                status
            }
            Step::SetStatus(number, is_active) => {
                let status = if is_active { "active" } else { "inactive" };
                let path = format!("/lsm/providers/{}/set-status", self.providers[number].id);
                self.post(&self.lsm, &path, json!({"status": status, "reason": "A rest", "force": true})).await
            }
            Step::RequestService(number) => {
                let name = format!("Service {:016x}", rand::random::<u64>());
                let request = json!({"serviceName": name, "category": "Repairs", "description": "Something new"});
                self.post(&self.providers[number].user, "/provider/request-new-service", request).await
            }
            Step::DecideOnService(lsm, admin) => self.decide_on_service(lsm, admin).await,
        }
    }

    /// The rows that contradict a counter. There must be none.
    async fn drifted(&self) -> String {
        let sql = "select coalesce(string_agg(p.id || ': ' || p.earnings_cents || ' ' || p.total_jobs || ' ' || p.rating, ', '), '')
             from stm.providers p,
                  lateral (select count(*) as jobs from stm.jobs where provider_id = p.id and status = 'paid') j,
                  lateral (select coalesce(sum(y.amount_cents), 0) as cents from stm.payments y join stm.jobs j on j.id = y.job_id
                           where j.provider_id = p.id and y.status = 'received' and y.kind = 'job') y,
                  lateral (select coalesce(round(avg(rating), 2), 0) as rating from stm.reviews where provider_id = p.id) r
             where p.earnings_cents <> y.cents or p.total_jobs <> j.jobs or round(p.rating::numeric, 2) <> r.rating";
        self.office.world.text(sql).await
    }

    /// What a query counts, by the words of its first column.
    async fn counts(&self, words: &[&str], from: &str, column: &str) -> Value {
        let mut counts = serde_json::Map::new();
        for word in words {
            let sql = format!(
                "select count(*) from {from} {} {column} = '{word}'",
                if from.contains("where") { "and" } else { "where" }
            );
            counts.insert((*word).to_owned(), self.office.world.number(&sql).await.into());
        }
        Value::Object(counts)
    }

    async fn dollars(&self, sql: &str) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let cents = self.office.world.number(sql).await as f64;
        cents / 100.0
    }

    /// Compares every dashboard and report with the rows.
    async fn check(&self) {
        const JOBS: [&str; 6] = ["new", "in_progress", "completed", "paid", "cancelled", "rejected_by_sp"];
        const PROVIDERS: [&str; 5] = ["pending", "active", "inactive", "rejected", "banned"];
        assert_eq!(self.drifted().await, "", "counters of providers and their rows");
        let (office, world) = (&self.office, &self.office.world);
        let jobs = self.counts(&JOBS, "stm.jobs", "status").await;
        let providers = self.counts(&PROVIDERS, "stm.providers", "status").await;
        let revenue = self
            .dollars("select coalesce(sum(amount_cents), 0)::bigint from stm.payments where status = 'received'")
            .await;

        let dashboard = office.get("/admin/dashboard").await["data"].clone();
        assert_eq!((&dashboard["jobs"], &dashboard["providers"]), (&jobs, &providers));
        assert_eq!(dashboard["revenue"]["total"].as_f64(), Some(revenue));
        let banned = world.number("select count(*) from stm.users where banned_at is not null").await;
        assert_eq!(dashboard["users"]["banned"], banned);
        let summary = office.get("/admin/jobs-distribution").await["summary"].clone();
        assert_eq!((&summary["total"], &summary["paid"]), (&json!(self.deals.len()), &jobs["paid"]));
        let points = office.get("/admin/revenue").await["data"].clone();
        let points = points.as_array().expect("points");
        let drawn: f64 = points.iter().filter_map(|point| point["revenue"].as_f64()).sum();
        assert!((drawn - revenue).abs() < 0.001, "{drawn} {revenue}");
        let report = office.get("/admin/reports/regions").await["data"].clone();
        assert_eq!((report[0]["revenue"].as_f64(), &report[0]["paidJobs"]), (Some(revenue), &jobs["paid"]));
        let waiting = office.get("/admin/pending-actions").await["data"].clone();
        let open = world.number("select count(*) from stm.disputes where status = 'open'").await;
        let requests = world.number("select count(*) from stm.service_requests where status = 'lsm_approved'").await;
        assert_eq!((&waiting["openDisputes"], &waiting["serviceRequests"]), (&json!(open), &json!(requests)));
        assert_eq!(waiting["unpaidJobs"], jobs["completed"]);

        let lsms = world.get_as(&self.lsm, "/lsm/dashboard").await.expect(200);
        assert_eq!((&lsms["jobs"], &lsms["providers"]), (&jobs, &providers));
        for word in JOBS {
            let page = office.get(&format!("/admin/jobs?status={word}")).await;
            assert_eq!(page["pagination"]["total"], jobs[word], "{word}");
        }
        for word in PROVIDERS {
            let page = office.get(&format!("/admin/providers?status={word}")).await;
            assert_eq!(page["pagination"]["total"], providers[word], "{word}");
        }
        for (number, provider) in self.providers.iter().enumerate() {
            let Some(user) = self.login(&provider.user).await else { continue };
            let of_this = format!("stm.jobs where provider_id = {}", provider.id);
            let dashboard = world.get_as(&user, "/provider/dashboard").await.expect(200);
            assert_eq!(dashboard["jobs"], self.counts(&JOBS, &of_this, "status").await, "provider {number}");
            let earnings = world.get_as(&user, "/payments/earnings").await.expect(200);
            assert_eq!(earnings["totalEarnings"], dashboard["summary"]["totalEarnings"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_agrees_with_the_rows_whatever_happens() {
    let mut town = Town::found().await;
    let mut runner = TestRunner::default();
    for step in OPENING {
        let status = town.take(step).await;
        assert!((200..300).contains(&status), "{step:?}: {status}");
    }
    town.check().await;
    for sequence in 0..SEQUENCES {
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        for step in &steps {
            let status = town.take(*step).await;
            assert!(status < 500, "{step:?} of sequence {sequence}: {status}");
        }
        println!("sequence {sequence}: {steps:?}");
        town.check().await;
    }
}
