//! The main job, end to end: a customer books a provider, and they chat about it.

use serde_json::json;
use testing::world::{PASSWORD, World, ZIP_CODE};

use crate::support::{CHATS_WITH_GAPS, SERVE, passes, who};

/// The same and all that follows, with the options and the requests of the web client.
#[tokio::test(flavor = "multi_thread")]
async fn the_web_client_goes_from_a_search_to_a_dispute() {
    let world = World::start(SERVE).await;
    world.sql("update stm.local_service_managers set region = 'NY'").await;
    passes(&world, "web_story.mjs", json!({"lsm": who(&world.lsm().await)})).await;
    assert_eq!(world.number(CHATS_WITH_GAPS).await, 0);
}

/// Everything by a real socket.io-client and plain HTTP, by both transports.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_books_a_provider_and_they_chat() {
    let world = World::start(SERVE).await;
    let provider = world.provider("Plumbing").await;
    let arguments = json!({
        "provider": {"email": provider.user.email, "password": PASSWORD},
        "providerId": provider.id, "serviceId": provider.service_id, "zipcode": ZIP_CODE,
    });
    for transport in ["websocket", "polling"] {
        let mut arguments = arguments.clone();
        arguments["transport"] = json!(transport);
        let report = world.client("main_job.mjs", &arguments).await;
        assert_eq!(report["ok"], true, "{transport}: {report}");
    }
    assert_eq!(world.number("select count(*) from stm.messages where client_message_id = 'first'").await, 2);
    assert_eq!(world.number(CHATS_WITH_GAPS).await, 0);
}
