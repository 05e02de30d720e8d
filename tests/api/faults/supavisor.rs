//! What Supavisor answers when it runs out of something, and what REST makes of it.

use std::time::{Duration, Instant};

use testing::scripted_pooler::{Script, ScriptedPooler};
use testing::world::World;
use testing::{Database, PATIENCE};

use crate::support::SERVE;

#[tokio::test(flavor = "multi_thread")]
async fn its_errors_are_503_and_pass() {
    for wire in ["pipelined", "plain"] {
        let database = Database::create().await;
        let pooler = ScriptedPooler::before(&database.direct_url(), 4, Script::FreesWhenAnswered).await;
        let world = World::start_on(SERVE, database, &[("DATABASE_URL", &pooler.url()), ("POOLER_WIRE", wire)]).await;
        let customer = world.customer().await;
        for message in [
            "(EMAXCONN) max client connections reached, limit: 200",
            "(ECHECKOUTTIMEOUT) Pool checkout timeout. Request was dropped after 60000ms in Transaction mode",
            "(EDBHANDLEREXITED) connection to database closed. Check logs for more information",
            "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
        ] {
            pooler.behave(Script::Fails(message));
            for refused in [
                world.get("/services").await,
                world.get_as(&customer, "/customer/profile").await,
                world.patch_as(&customer, "/notifications/mark-all-read").await,
            ] {
                assert!(refused.headers.contains_key("retry-after"), "{wire} {message}: {}", refused.body);
                assert_eq!(refused.expect(503)["code"], "unavailable", "{wire} {message}");
            }
            pooler.behave(Script::FreesWhenAnswered);
            let started = Instant::now();
            while world.get_as(&customer, "/customer/profile").await.status != 200 {
                assert!(started.elapsed() < PATIENCE, "{wire} {message}: it does not pass");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
