//! The service under test, on which a sequence is played.

use doors::Pooler;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use stm_backend::jobs::deadlines;
use testing::execute;
use testing::world::{Provider, User, World};
use tokio_util::sync::CancellationToken;

use super::{By, DUE, Model, Step};

/// One customer and two providers of the service under test.
pub struct Stage<'a> {
    pub world: &'a World,
    pub pooler: Pooler,
    pub session: PgConnection,
    pub customer: User,
    pub providers: [Provider; 2],
    pub lsm: User,
}

impl Stage<'_> {
    pub async fn run(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
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
                 'notified', (select coalesce(jsonb_agg({name} || ': ' || title order by ({name} || ': ' || title) collate \"C\"), '[]')
                          from stm.notifications where (metadata->>'jobId')::bigint = j.id))
             from stm.jobs j where j.id = {job}",
            a.id, b.id, of_both("earnings_cents"), of_both("total_jobs"), of_both("warnings")
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.session).await.expect("the job")
    }
}
