//! Two who act upon the same job at the same time: answers, state, money and audit rows always agree with one order.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgConnection;
use stm_backend::jobs::deadlines;
use testing::world::booking;
use tokio_util::sync::CancellationToken;

use crate::support::{Scene, pooler};

const ROUNDS: usize = 200;

/// Two users of a scene, and a session that looks at what they have done.
struct Duel {
    scene: Scene,
    session: PgConnection,
}

impl Duel {
    async fn start() -> Self {
        let scene = Scene::start().await;
        Self { session: scene.world.database.session().await, scene }
    }

    async fn new_job(&mut self) -> i64 {
        self.scene.world.new_job(&mut self.session, &self.scene.customer, &self.scene.provider).await
    }

    async fn customer_posts(&self, path: String, body: Value) -> u16 {
        self.scene.customer_posts(&path, &body).await.status.as_u16()
    }

    async fn provider_posts(&self, path: String, body: Value) -> u16 {
        self.scene.provider_posts(&path, &body).await.status.as_u16()
    }

    async fn accept(&self, job: i64) -> u16 {
        self.provider_posts(format!("/provider/jobs/{job}/respond"), json!({"action": "accept"})).await
    }

    async fn text(&mut self, sql: String) -> String {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut self.session).await.expect("a row")
    }

    /// What was done with a job, in order.
    async fn events(&mut self, job: i64) -> String {
        let events = "select coalesce(string_agg(action, ' ' order by id), '') from stm.job_events where job_id = ";
        self.text(format!("{events}{job}")).await
    }

    async fn status(&mut self, job: i64) -> String {
        self.text(format!(
            "select status || case when sp_accepted then ' accepted' else '' end from stm.jobs where id = {job}"
        ))
        .await
    }
}

/// Both at once, now the one a little earlier, now the other.
async fn race<A, B>(round: usize, a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let head_start = |mine: bool| Duration::from_micros(if mine { 0 } else { (round as u64 / 2 % 8) * 500 });
    tokio::join!(
        async {
            tokio::time::sleep(head_start(round.is_multiple_of(2))).await;
            a.await
        },
        async {
            tokio::time::sleep(head_start(!round.is_multiple_of(2))).await;
            b.await
        }
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_and_cancelling() {
    let mut duel = Duel::start().await;
    let mut accepted_first = 0;
    for round in 0..ROUNDS {
        let job = duel.new_job().await;
        duel.scene
            .world
            .sql(&format!("update stm.jobs set scheduled_at = now() + interval '1 day' where id = {job}"))
            .await;
        let cancel = duel.customer_posts(format!("/customers/jobs/{job}/action"), json!({"action": "cancel"}));
        let answers = race(round, duel.accept(job), cancel).await;
        match answers {
            (200, 200) => {
                accepted_first += 1;
                assert_eq!(duel.events(job).await, "accept cancel");
            }
            (409, 200) => assert_eq!(duel.events(job).await, "cancel"),
            other => panic!("round {round}: {other:?}"),
        }
        let status = duel.status(job).await;
        assert!(status.starts_with("cancelled"), "round {round}: {status}");
        let fees = "select string_agg(kind || amount_cents, ' ') from stm.payments where job_id = ";
        assert_eq!(duel.text(format!("{fees}{job}")).await, "cancellation_fee2500");
    }
    assert!((1..ROUNDS).contains(&accepted_first), "no race: {accepted_first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_and_giving_to_another() {
    let mut duel = Duel::start().await;
    let other = duel.scene.world.provider("Plumbing").await;
    let mut accepted_first = 0;
    for round in 0..ROUNDS {
        let job = duel.new_job().await;
        let reassign = duel.customer_posts(format!("/jobs/{job}/reassign"), json!({"newProviderId": other.id}));
        match race(round, duel.accept(job), reassign).await {
            (200, 201) => {
                accepted_first += 1;
                assert_eq!(duel.events(job).await, "accept reassign");
            }
            (409, 201) => assert_eq!(duel.events(job).await, "reassign"),
            answers => panic!("round {round}: {answers:?}"),
        }
        assert_eq!(duel.status(job).await, "new", "nobody has accepted for the other provider");
        let chats = "select string_agg(case when c.closed_at is null then 'open' else 'closed' end, ' ' order by c.id) from stm.chats c where c.job_id = ";
        assert_eq!(duel.text(format!("{chats}{job}")).await, "closed open");
        let provider = format!("select provider_id::text from stm.jobs where id = {job}");
        assert_eq!(duel.text(provider).await, other.id.to_string());
    }
    assert!((1..ROUNDS).contains(&accepted_first), "no race: {accepted_first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_twice() {
    let mut duel = Duel::start().await;
    for round in 0..ROUNDS {
        let job = duel.new_job().await;
        duel.scene
            .world
            .sql(&format!("update stm.jobs set status = 'completed', completed_at = now() where id = {job}"))
            .await;
        let pay = |method| {
            let request = json!({"action": "mark_payment", "paymentDetails": {"method": method}});
            duel.provider_posts(format!("/provider/jobs/{job}/update-status"), request)
        };
        let answers = race(round, pay("cash"), pay("card")).await;
        let method = match answers {
            (200, 409) => "cash",
            (409, 200) => "card",
            answers => panic!("round {round}: {answers:?}"),
        };
        assert_eq!(duel.events(job).await, "mark_payment");
        let payment = "select status || ' ' || method || ' ' || amount_cents from stm.payments where job_id = ";
        assert_eq!(duel.text(format!("{payment}{job}")).await, format!("received {method} 10000"));
    }
    let id = duel.scene.provider.id;
    let money =
        duel.text(format!("select total_jobs || ' ' || earnings_cents from stm.providers where id = {id}")).await;
    assert_eq!(money, format!("{ROUNDS} {}", ROUNDS * 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn reviewing_twice() {
    let mut duel = Duel::start().await;
    for round in 0..ROUNDS {
        let job = duel.new_job().await;
        duel.scene
            .world
            .sql(&format!("update stm.jobs set status = 'paid', completed_at = now() where id = {job}"))
            .await;
        let review = |rating| duel.customer_posts(format!("/customers/jobs/{job}/feedback"), json!({"rating": rating}));
        let rating = match race(round, review(5), review(3)).await {
            (200, 409) => "5",
            (409, 200) => "3",
            answers => panic!("round {round}: {answers:?}"),
        };
        assert_eq!(duel.text(format!("select rating::text from stm.reviews where job_id = {job}")).await, rating);
        assert_eq!(duel.events(job).await, "review");
    }
    let mean = "select round(avg(r.rating), 2)::text || ' ' || p.rating from stm.providers p join stm.reviews r on r.provider_id = p.id group by p.id";
    let mean = duel.text(mean.to_owned()).await;
    let (of_reviews, of_provider) = mean.split_once(' ').expect("two");
    assert_eq!(of_reviews, of_provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn booking_one_provider_twice() {
    let mut duel = Duel::start().await;
    for round in 0..ROUNDS {
        let book = |path: &str| duel.customer_posts(path.to_owned(), booking(&duel.scene.provider));
        match race(round, book("/jobs/create"), book("/customer/booking")).await {
            (201, 409) | (409, 201) => {}
            answers => panic!("round {round}: {answers:?}"),
        }
        let open = "select count(*)::text from stm.jobs where status = 'new'";
        assert_eq!(duel.text(open.to_owned()).await, "1");
        duel.scene.world.sql("update stm.jobs set status = 'cancelled'").await;
    }
    let counts = "select (select count(*) from stm.chats) || ' ' || (select count(*) from stm.job_events) || ' ' || (select count(*) from stm.notifications where title = 'New job request')";
    assert_eq!(duel.text(counts.to_owned()).await, format!("{ROUNDS} {ROUNDS} {ROUNDS}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_and_accepting() {
    let mut duel = Duel::start().await;
    let pooler = pooler(&duel.scene.world.database, 4);
    let stopped = CancellationToken::new();
    let mut missed = 0;
    for round in 0..ROUNDS {
        let job = duel.new_job().await;
        // Over for this clock, not for the server's own.
        let now = chrono::Utc::now() + chrono::Duration::hours(2);
        let clock = deadlines::act(&pooler, now, &stopped, drop);
        let (accepted, acted) = race(round, duel.accept(job), clock).await;
        assert_eq!(accepted, 200, "late is not never");
        missed += acted;
        assert_eq!(duel.events(job).await, if acted == 1 { "miss_deadline accept" } else { "accept" });
        assert_eq!(duel.status(job).await, "new accepted");
    }
    assert!((1..ROUNDS).contains(&missed), "no race: {missed}");
    let id = duel.scene.provider.id;
    assert_eq!(
        duel.text(format!("select warnings::text from stm.providers where id = {id}")).await,
        missed.to_string()
    );
    let notified = "select count(*)::text from stm.notifications where title = 'Response deadline missed'";
    assert_eq!(duel.text(notified.to_owned()).await, missed.to_string());
}
