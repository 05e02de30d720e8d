//! The chat: history over REST, and sockets that misbehave.

use serde_json::json;
use testing::token::{JWT_SECRET, sign};

use crate::support::{Scene, ask, next_seqs, passes, who};

#[tokio::test]
async fn history_is_for_members_in_pages() {
    let scene = Scene::booked().await;
    let Scene { world, customer, provider } = &*scene;
    let (chat, stranger) = (&scene.chat, world.customer().await);
    world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select '{chat}', i, {}, 'customer', 'message ' || i from generate_series(2, 250) i;
             update stm.chats set last_seq = 250 where id = '{chat}';",
            customer.id
        ))
        .await;
    let seqs = async |query: &str| -> Vec<i64> {
        let body = world.get_as(customer, &format!("/chat/{chat}/messages{query}")).await.expect(200);
        assert_eq!(body["chatId"], json!(chat));
        body["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|message| message["seq"].as_i64().expect("seq"))
            .collect()
    };
    assert_eq!(seqs("").await, (151..=250).collect::<Vec<_>>());
    assert_eq!(seqs("?limit=3").await, [248, 249, 250]);
    assert_eq!(seqs("?before=4").await, [1, 2, 3]);
    assert_eq!(seqs("?before=151&limit=2").await, [149, 150]);
    assert_eq!(seqs("?after=0&limit=2").await, [1, 2]);
    assert_eq!(seqs("?after=249").await, [250]);
    assert_eq!(seqs("?after=10&before=13").await, [11, 12]);
    assert_eq!(seqs("?after=250").await, [] as [i64; 0]);

    let first = world.get_as(&provider.user, &format!("/chat/{chat}/messages?after=0&limit=1")).await.expect(200);
    let message = &first["messages"][0];
    assert_eq!((&message["sender_type"], &message["sender_id"]), (&json!("customer"), &json!(customer.id)));
    assert_eq!((&message["sender_name"], &message["message_type"]), (&json!("Ann Archer"), &json!("text")));
    assert!(message["created_at"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{message}");

    for query in ["?limit=0", "?before=0", "?after=-1", "?limit=x"] {
        world.get_as(customer, &format!("/chat/{chat}/messages{query}")).await.expect(400);
    }
    let not_mine = world.get_as(&stranger, &format!("/chat/{chat}/messages")).await.expect(404);
    let not_there = world.get_as(&stranger, "/chat/019b0000-0000-7000-8000-000000000000/messages").await.expect(404);
    assert_eq!(not_mine["detail"], not_there["detail"], "whether it exists makes no difference");
    world.get_as(customer, "/chat/1/messages").await.expect(400);
    world.sql(&format!("update stm.chat_members set left_at = now() where user_id = {}", customer.id)).await;
    world.get_as(customer, &format!("/chat/{chat}/messages")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_misbehave_are_answered_and_learn_nothing() {
    let scene = Scene::booked().await;
    let Scene { world, customer, .. } = &*scene;
    let stranger = world.customer().await;
    let claims = |sub: i64, exp: i64| json!({"sub": sub, "email": "x@example.com", "role": "customer", "typ": "access", "iat": 0, "exp": exp});
    let later = chrono::Utc::now().timestamp() + 600;
    let forged = [
        sign(&claims(customer.id, later), "somebody else's secret, just as long as ours"),
        sign(&claims(customer.id, 1), JWT_SECRET),
        sign(&claims(999_999, later), JWT_SECRET),
    ];
    let arguments = json!({
        "member": who(customer), "stranger": who(&stranger), "chatId": scene.chat, "forged": forged,
    });
    passes(world, "misbehaviour.mjs", arguments).await;
    let by_stranger = format!("select count(*) from stm.messages where sender_id = {}", stranger.id);
    assert_eq!(world.number(&by_stranger).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_messages_keep_their_order() {
    let scene = Scene::booked().await;
    let (sender, receiver) = (who(&scene.customer), who(&scene.provider.user));
    let arguments = json!({"sender": sender, "receiver": receiver, "chatId": scene.chat, "messages": 2000});
    passes(&scene.world, "order.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_chat_takes_no_messages() {
    let scene = Scene::booked().await;
    let world = &scene.world;
    let arguments = |code: &str| json!({"token": scene.customer.token, "chatId": scene.chat, "code": code});
    world.sql("update stm.chats set closed_at = now()").await;
    passes(world, "refused.mjs", arguments("chat_closed")).await;
    world.sql("update stm.chats set closed_at = null; update stm.chat_members set left_at = now()").await;
    passes(world, "refused.mjs", arguments("forbidden")).await;
    assert_eq!(world.number("select count(*) from stm.messages where seq > 1").await, 0);
}

/// What REST writes into a chat in somebody's name reaches that user's own sockets too; what a socket sends, all but
/// itself.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_rest_writes_reach_their_author() {
    let scene = Scene::booked().await;
    let [(customers, mut theirs), (_providers, mut others)] = scene.connect().await;
    let offer = json!({"job_id": scene.job, "proposed_price": 150});
    scene.customer_posts("/chat/negotiation/send-offer", &offer).await.expect(201);
    for incoming in [&mut theirs, &mut others] {
        assert_eq!(next_seqs(incoming, 1).await, [2]);
    }
    let image = json!({"chatId": scene.chat, "message": "https://cdn.example.com/a.png", "message_type": "image"});
    assert_eq!(ask(&customers, "send_message", image).await["seq"], 3);
    let answer = json!({"job_id": scene.job, "action": "accept"});
    scene.provider_posts("/chat/negotiation/respond", &answer).await.expect(201);
    assert_eq!(next_seqs(&mut theirs, 1).await, [4], "its own message only as the acknowledgement");
    assert_eq!(next_seqs(&mut others, 2).await, [3, 4]);
    let messages = scene.messages().await;
    assert_eq!(messages[2]["message"], r#"{"images":["https://cdn.example.com/a.png"],"count":1}"#);
}
