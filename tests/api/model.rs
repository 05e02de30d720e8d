//! A second, smaller state machine, and random sequences of what people do: it and the service never disagree on answers,
//! state, money, audit rows or notifications. Everything goes over HTTP and through `PgBouncer`; time is made to pass by
//! moving what is stored into the past.

use std::collections::BTreeMap;

use doors::Pooler;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use stm_backend::jobs::deadlines;
use tokio_util::sync::CancellationToken;

use crate::harness::pooler;
use crate::harness::{Provider, User, World, execute};

/// Sequences per worker, and workers at the same time.
const SEQUENCES: u32 = 500;
const WORKERS: usize = 4;

/// The appointment, in minutes from the booking: a little more than 96 hours.
const DUE: i64 = 96 * 60 + 247;

/// What somebody does.
#[derive(Debug, Clone)]
enum Step {
    Accept,
    Reject,
    /// An offer: by the provider or the customer, with a price, or a date in so many days, or both.
    Offer(By, Option<i64>, Option<i64>),
    /// An answer to an offer: by whom.
    Take(By),
    Decline(By),
    Counter(By, i64),
    ApproveEdits,
    CloseDeal,
    Cancel,
    Reassign,
    Resend,
    Complete,
    Pay,
    Review(i64),
    Dispute,
    Resolve,
    /// The one of the two providers who does not have the job at present.
    OtherAccepts,
    /// So many minutes pass.
    Pass(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Customer,
    Provider,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let by = || prop_oneof![Just(By::Customer), Just(By::Provider)];
    let price = || (0_i64..40_000).prop_map(Some);
    let date = || prop_oneof![Just(None), Just(Some(2)), Just(Some(10))];
    let step = prop_oneof![
        4 => Just(Step::Accept),
        1 => Just(Step::Reject),
        3 => (by(), price(), date()).prop_map(|(by, price, date)| Step::Offer(by, price, date)),
        1 => by().prop_map(|by| Step::Offer(by, None, Some(2))),
        2 => by().prop_map(Step::Take),
        1 => by().prop_map(Step::Decline),
        1 => (by(), 0_i64..40_000).prop_map(|(by, price)| Step::Counter(by, price)),
        1 => Just(Step::ApproveEdits),
        4 => Just(Step::CloseDeal),
        1 => Just(Step::Cancel),
        1 => Just(Step::Reassign),
        1 => Just(Step::Resend),
        4 => Just(Step::Complete),
        4 => Just(Step::Pay),
        2 => (1_i64..=5).prop_map(Step::Review),
        1 => Just(Step::Dispute),
        1 => Just(Step::Resolve),
        1 => Just(Step::OtherAccepts),
        2 => prop_oneof![Just(29_i64), Just(61), Just(300)].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..16)
}

/// The job as the contract tells it. Times are minutes since the booking.
#[derive(Debug, Clone)]
struct Model {
    now: i64,
    status: &'static str,
    accepted: bool,
    /// By whom, the price, the date.
    offer: Option<(By, Option<i64>, Option<i64>)>,
    price: i64,
    due: i64,
    deadline: i64,
    missed: bool,
    /// Which of the two providers has the job, and which have had it.
    provider: usize,
    had: [bool; 2],
    fee: Option<i64>,
    payment: Option<&'static str>,
    earnings: [i64; 2],
    jobs: [i64; 2],
    warnings: [i64; 2],
    rating: Option<i64>,
    dispute: bool,
    events: BTreeMap<&'static str, i64>,
    told: Vec<String>,
}

impl Model {
    fn new() -> Self {
        Self {
            now: 0,
            status: "new",
            accepted: false,
            offer: None,
            price: 10_000,
            due: DUE,
            deadline: 60,
            missed: false,
            provider: 0,
            had: [true, false],
            fee: None,
            payment: None,
            earnings: [0; 2],
            jobs: [0; 2],
            warnings: [0; 2],
            rating: None,
            dispute: false,
            events: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn note(&mut self, event: &'static str) {
        *self.events.entry(event).or_default() += 1;
    }

    fn tell(&mut self, who: &str, title: &str) {
        self.told.push(format!("{who}: {title}"));
    }

    fn tell_provider(&mut self, title: &str) {
        self.tell(&format!("p{}", self.provider), title);
    }

    fn tell_other(&mut self, by: By, title: &str) {
        match by {
            By::Customer => self.tell_provider(title),
            By::Provider => self.tell("c", title),
        }
    }

    fn take(&mut self) {
        if let Some((_, price, date)) = self.offer.take() {
            self.price = price.unwrap_or(self.price);
            self.due = date.unwrap_or(self.due);
        }
        self.accepted = true;
    }

    fn is_for(&self, by: By) -> bool {
        self.status == "new" && self.offer.is_some_and(|(of, ..)| of != by)
    }

    /// Does it, or not; gives the status of the answer.
    #[allow(clippy::too_many_lines, reason = "the whole state machine at one glance")]
    fn step(&mut self, step: &Step) -> u16 {
        let is_new = self.status == "new";
        match *step {
            Step::Accept if is_new && !self.accepted => {
                match self.offer {
                    Some((By::Customer, ..)) => self.take(),
                    _ => self.offer = None,
                }
                self.accepted = true;
                self.note("accept");
                self.tell("c", "Job accepted");
                200
            }
            Step::Reject if is_new => {
                (self.status, self.offer) = ("rejected_by_sp", None);
                self.note("reject");
                self.tell("c", "Job declined");
                200
            }
            Step::Offer(by, price, days) if is_new => {
                self.offer = Some((by, price, days.map(|days| self.now + days * 1440)));
                self.note("send_offer");
                self.tell_other(by, "New offer");
                201
            }
            Step::Take(by) if self.is_for(by) => {
                self.take();
                self.note("accept_offer");
                self.tell_other(by, "Offer accepted");
                201
            }
            Step::ApproveEdits if self.is_for(By::Customer) => {
                self.take();
                self.note("accept_offer");
                self.tell_provider("Offer accepted");
                200
            }
            Step::Decline(by) if self.is_for(by) => {
                (self.offer, self.deadline, self.missed) = (None, self.now + 60, false);
                self.note("decline_offer");
                self.tell_other(by, "Offer declined");
                201
            }
            Step::Counter(by, price) if self.is_for(by) => {
                self.offer = Some((by, Some(price), None));
                self.note("counter_offer");
                self.tell_other(by, "Counter-offer");
                201
            }
            Step::CloseDeal if is_new && self.accepted => {
                (self.status, self.offer) = ("in_progress", None);
                self.note("close_deal");
                self.tell_provider("Deal closed");
                200
            }
            Step::Cancel if is_new || self.status == "in_progress" => {
                (self.status, self.offer) = ("cancelled", None);
                // A quarter, half a cent rounded up.
                let fee = if self.due - self.now < 96 * 60 { (self.price * 25 + 50) / 100 } else { 0 };
                self.fee = (fee > 0).then_some(fee);
                self.note("cancel");
                self.tell_provider("Job cancelled");
                200
            }
            Step::Reassign if is_new || self.status == "rejected_by_sp" => {
                if is_new {
                    self.tell_provider("Job given to another provider");
                }
                self.provider = 1 - self.provider;
                self.had[self.provider] = true;
                (self.status, self.accepted, self.offer, self.price) = ("new", false, None, 10_000);
                (self.deadline, self.missed) = (self.now + 60, false);
                self.note("reassign");
                self.tell_provider("New job request");
                201
            }
            Step::Resend if is_new && !self.accepted => {
                (self.deadline, self.missed) = (self.now + 60, false);
                self.note("resend");
                self.tell_provider("Job request sent again");
                201
            }
            Step::Complete if self.status == "in_progress" => {
                (self.status, self.payment) = ("completed", Some("pending"));
                self.note("mark_complete");
                self.tell("c", "Job completed");
                200
            }
            Step::Pay if self.status == "completed" => {
                (self.status, self.payment) = ("paid", Some("received"));
                self.earnings[self.provider] += self.price;
                self.jobs[self.provider] += 1;
                self.note("mark_payment");
                self.tell("c", "Payment received");
                self.tell_provider("Payment received");
                200
            }
            Step::Review(rating) if self.status == "paid" && self.rating.is_none() => {
                self.rating = Some(rating);
                self.note("review");
                self.tell_provider("New review");
                if rating < 3 {
                    self.tell("l", "Low rating");
                }
                200
            }
            Step::Dispute if matches!(self.status, "completed" | "paid") && !self.dispute => {
                self.dispute = true;
                self.note("dispute");
                self.tell("l", "New dispute");
                self.tell_provider("Job disputed");
                201
            }
            Step::Resolve if self.dispute => {
                self.dispute = false;
                self.note("resolve_dispute");
                self.tell("c", "Dispute resolved");
                self.tell_provider("Dispute resolved");
                200
            }
            Step::OtherAccepts if !self.had[1 - self.provider] => 404,
            Step::Pass(minutes) => {
                self.now += minutes;
                let unanswered = is_new && !self.accepted && self.offer.is_none();
                if unanswered && self.deadline < self.now && !self.missed {
                    self.missed = true;
                    self.warnings[self.provider] += 1;
                    self.note("miss_deadline");
                    self.tell("c", "No answer yet");
                    self.tell_provider("Response deadline missed");
                    if self.warnings[self.provider] >= 3 {
                        self.tell("l", "Provider warned repeatedly");
                    }
                }
                0
            }
            _ => 409,
        }
    }

    fn told(&self) -> Value {
        let mut told = self.told.clone();
        told.sort();
        json!(told)
    }

    /// In the shape of [`Stage::look`].
    fn view(&self) -> Value {
        json!({
            "status": self.status, "accepted": self.accepted, "price": self.price, "provider": self.provider,
            "missed": self.missed, "fee": self.fee, "payment": self.payment, "rating": self.rating, "dispute": self.dispute,
            "offer": self.offer.map(|(by, price, _)| json!([if by == By::Customer { "customer" } else { "service_provider" }, price])),
            "pending": self.offer.is_some(), "earnings": self.earnings, "jobs": self.jobs, "warnings": self.warnings,
            "events": self.events, "told": self.told(),
        })
    }
}

/// One customer and two providers of the service under test.
struct Stage<'a> {
    world: &'a World,
    pooler: Pooler,
    session: PgConnection,
    customer: User,
    providers: [Provider; 2],
    lsm: User,
}

impl Stage<'_> {
    async fn run(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        let job = self.begin().await;
        let mut model = Model::new();
        for step in steps {
            let expected = model.step(step);
            let answer = self.step(job, step, &model).await;
            prop_assert_eq!(answer, expected, "{:?}, then {:?}", step, &model);
            let seen = self.look(job).await;
            prop_assert_eq!(seen, model.view(), "after {:?}", step);
        }
        Ok(())
    }

    async fn begin(&mut self) -> i64 {
        let [a, b] = &self.providers;
        let reset = format!(
            "update stm.providers set warnings = 0, earnings_cents = 0, total_jobs = 0 where id in ({}, {});
             update stm.jobs set status = 'cancelled', pending_approval = false where customer_id = (select id from stm.customers where user_id = {})",
            a.id, b.id, self.customer.id
        );
        execute(&mut self.session, &reset).await;
        let job = self.world.new_job(&mut self.session, &self.customer, a).await;
        execute(
            &mut self.session,
            &format!("update stm.jobs set scheduled_at = now() + interval '{DUE} minutes' where id = {job}"),
        )
        .await;
        job
    }

    async fn step(&mut self, job: i64, step: &Step, model: &Model) -> u16 {
        let (customer, provider) = (&self.customer, &self.providers[model.provider].user);
        let other = &self.providers[1 - model.provider];
        let party = |by| if by == By::Customer { customer } else { provider };
        let dollars = |cents: i64| f64::from(i32::try_from(cents).expect("cents")) / 100.0;
        let respond = format!("/provider/jobs/{job}/respond");
        let (who, path, body) = match *step {
            Step::Accept => (provider, respond, json!({"action": "accept"})),
            Step::Reject => (provider, respond, json!({"action": "reject"})),
            Step::OtherAccepts => (&other.user, respond, json!({"action": "accept"})),
            Step::Offer(by, price, days) => {
                let date = days.map(|days| chrono::Utc::now() + chrono::Duration::days(days));
                let request = json!({"job_id": job, "proposed_price": price.map(dollars), "proposed_date": date});
                (party(by), "/chat/negotiation/send-offer".into(), request)
            }
            Step::Take(by) => {
                (party(by), "/chat/negotiation/respond".into(), json!({"job_id": job, "action": "accept"}))
            }
            Step::Decline(by) => {
                (party(by), "/chat/negotiation/respond".into(), json!({"job_id": job, "action": "decline"}))
            }
            Step::Counter(by, price) => {
                let request = json!({"job_id": job, "action": "counter", "counter_proposed_price": dollars(price)});
                (party(by), "/chat/negotiation/respond".into(), request)
            }
            Step::ApproveEdits => {
                (customer, format!("/customers/jobs/{job}/action"), json!({"action": "approve_edits"}))
            }
            Step::CloseDeal => (customer, format!("/customers/jobs/{job}/action"), json!({"action": "close_deal"})),
            Step::Cancel => (customer, format!("/customers/jobs/{job}/action"), json!({"action": "cancel"})),
            Step::Reassign => {
                // The model has the job with its new provider by now, unless it has refused.
                let target = if model.status == "new" { &self.providers[model.provider] } else { other };
                (customer, format!("/jobs/{job}/reassign"), json!({"newProviderId": target.id}))
            }
            Step::Resend => (customer, format!("/jobs/{job}/resend"), json!({})),
            Step::Complete => {
                (provider, format!("/provider/jobs/{job}/update-status"), json!({"action": "mark_complete"}))
            }
            Step::Pay => (provider, format!("/provider/jobs/{job}/update-status"), json!({"action": "mark_payment"})),
            Step::Review(rating) => (
                customer,
                format!("/customers/jobs/{job}/feedback"),
                json!({"rating": rating, "feedback": "As it was"}),
            ),
            Step::Dispute => (customer, "/customers/disputes".into(), json!({"jobId": job, "description": "It leaks"})),
            Step::Resolve => {
                let last = format!("select coalesce(max(id), 0) from stm.disputes where job_id = {job}");
                let id: i64 =
                    sqlx::query_scalar(AssertSqlSafe(last)).fetch_one(&mut self.session).await.expect("an id");
                let (path, request) = (format!("/lsm/disputes/{id}/resolve"), json!({"resolutionNotes": "Mended"}));
                let answer = self.world.post_as(&self.lsm, &path, &request).await;
                // No dispute at all is 404, a resolved one 409: to the model both are one.
                return match answer.status.as_u16() {
                    404 => 409,
                    status => status,
                };
            }
            Step::Pass(minutes) => {
                self.pass(job, minutes).await;
                return 0;
            }
        };
        self.world.post_as(who, &path, &body).await.status.as_u16()
    }

    async fn pass(&mut self, job: i64, minutes: i64) {
        let shift = format!(
            "update stm.jobs set response_deadline = response_deadline - interval '{minutes} minutes',
                                 scheduled_at = scheduled_at - interval '{minutes} minutes' where id = {job};
             update stm.offers set scheduled_at = scheduled_at - interval '{minutes} minutes' where job_id = {job} and status = 'open'"
        );
        execute(&mut self.session, &shift).await;
        deadlines::act(&self.pooler, chrono::Utc::now(), &CancellationToken::new(), drop).await;
        // The server's own clock, or another worker's, may be acting upon it just now.
        let settle = format!("select id from stm.jobs where id = {job} for update");
        execute(&mut self.session, &settle).await;
    }

    async fn look(&mut self, job: i64) -> Value {
        let [a, b] = &self.providers;
        let name = format!(
            "case recipient_id when {} then 'c' when {} then 'p0' when {} then 'p1' when {} then 'l' else 'somebody else' end",
            self.customer.id, a.user.id, b.user.id, self.lsm.id
        );
        let of_both = |column: &str| {
            format!(
                "(select jsonb_agg(p.{column} order by p.id) from stm.providers p where p.id in ({}, {}))",
                a.id, b.id
            )
        };
        let sql = format!(
            "select jsonb_build_object(
                 'status', j.status, 'accepted', j.sp_accepted, 'price', j.price_cents, 'pending', j.pending_approval,
                 'provider', case j.provider_id when {} then 0 when {} then 1 end, 'missed', j.deadline_missed_at is not null,
                 'fee', (select amount_cents from stm.payments where job_id = j.id and kind = 'cancellation_fee'),
                 'payment', (select status from stm.payments where job_id = j.id and kind = 'job' and amount_cents = j.price_cents),
                 'rating', (select rating from stm.reviews where job_id = j.id),
                 'dispute', exists (select from stm.disputes where job_id = j.id and status = 'open'),
                 'offer', (select jsonb_build_array(offered_by, price_cents) from stm.offers where job_id = j.id and status = 'open'),
                 'earnings', {}, 'jobs', {}, 'warnings', {},
                 'events', (select coalesce(jsonb_object_agg(action, n), '{{}}')
                            from (select action, count(*) as n from stm.job_events where job_id = j.id group by action) e),
                 'told', (select coalesce(jsonb_agg({name} || ': ' || title order by ({name} || ': ' || title) collate \"C\"), '[]')
                          from stm.notifications where (metadata->>'jobId')::bigint = j.id))
             from stm.jobs j where j.id = {job}",
            a.id, b.id, of_both("earnings_cents"), of_both("total_jobs"), of_both("warnings")
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.session).await.expect("the job")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_and_the_service_agree() {
    let world = World::start().await;
    let pooler = pooler(&world.database, 4);
    let mut stages = Vec::new();
    for _ in 0..WORKERS {
        let (a, b) = (world.provider("Plumbing").await, world.provider("Plumbing").await);
        stages.push(Stage {
            session: world.database.session().await,
            pooler: pooler.clone(),
            customer: world.customer().await,
            providers: [a, b],
            lsm: world.lsm().await,
            world: &world,
        });
    }
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for mut stage in stages {
            let runtime = &runtime;
            scope.spawn(move || {
                let config =
                    Config { cases: SEQUENCES, max_shrink_iters: 500, failure_persistence: None, ..Config::default() };
                let stage = std::cell::RefCell::new(&mut stage);
                let outcome =
                    TestRunner::new(config).run(&steps(), |steps| runtime.block_on(stage.borrow_mut().run(&steps)));
                outcome.unwrap_or_else(|failure| panic!("{failure}"));
            });
        }
    });
}
