//! The lists of chats.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testing::queries::{function, with_arguments};
use testing::world::{Provider, User, World};

use crate::support::{SERVE, Scene};

const CUSTOMER: &str = "/chat/customer/chats";
const PROVIDER: &str = "/chat/provider/chats";
const LSM: &str = "/chat/lsm/chats";

/// Books. Returns the chat's id.
async fn chat(world: &World, customer: &User, provider: &Provider) -> String {
    world.book(customer, provider).await["chat"]["id"].as_str().expect("an id").to_owned()
}

/// A message as the writer would store it, `after_s` seconds from now.
async fn say(world: &World, chat: &str, sender: &User, side: &str, message: &str, after_s: i64) {
    world
        .sql(&format!(
            "with chat as (update stm.chats set last_seq = last_seq + 1 where id = '{chat}' returning last_seq)
             insert into stm.messages (chat_id, seq, sender_id, sender_type, message, created_at)
             select '{chat}', last_seq, {}, '{side}', '{message}', now() + interval '{after_s} s' from chat",
            sender.id
        ))
        .await;
}

async fn join(world: &World, chat: &str, lsm: &User) {
    world
        .sql(&format!(
            "insert into stm.chat_members (chat_id, user_id, side) values ('{chat}', {}, 'local_service_manager')",
            lsm.id
        ))
        .await;
}

async fn list(world: &World, who: &User, path: &str) -> Vec<Value> {
    let list = world.get_as(who, path).await.expect(200);
    list.as_array().expect("a list").clone()
}

fn ids(list: &[Value]) -> Vec<&str> {
    list.iter().map(|chat| chat["id"].as_str().expect("an id")).collect()
}

fn unread(list: &[Value]) -> Vec<i64> {
    list.iter().map(|chat| chat["unreadCount"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn each_side_sees_the_other() {
    let Scene { world, customer, provider } = Scene::start().await;
    let lsm = world.lsm().await;
    world
        .sql(
            "update stm.users set profile_picture = 'https://cdn.example.com/pete.png' where role = 'service_provider'",
        )
        .await;
    let customer_id = world.number(&format!("select id from stm.customers where user_id = {}", customer.id)).await;
    let manager = world.number("select id from stm.local_service_managers").await;
    let booked = world.book(&customer, &provider).await;
    let chat = booked["chat"]["id"].as_str().expect("an id");
    join(&world, chat, &lsm).await;

    let history = world.get_as(&customer, &format!("/chat/{chat}/messages")).await.expect(200);
    let of_provider = json!({
        "id": provider.id, "businessName": "Pete's Pipes", "ownerName": "Pete Pipes",
        "user": {"id": provider.user.id, "first_name": "Pete", "last_name": "Pipes", "profile_picture": "https://cdn.example.com/pete.png"},
        "online": false, "lastSeen": null,
    });
    let of_customer = json!({
        "id": customer_id, "name": "Ann Archer",
        "user": {"id": customer.id, "first_name": "Ann", "last_name": "Archer", "profile_picture": null},
        "online": false, "lastSeen": null,
    });
    let mut expected = json!({
        "id": chat, "created_at": booked["chat"]["created_at"], "lastMessage": history["messages"][0], "unreadCount": 0,
        "lsm_joined": true, "localServiceManager": {"id": manager, "user": {"first_name": "Lena", "last_name": "Local"}},
        "job": {"id": booked["job"]["id"], "status": "new", "service": {"name": "Plumbing", "category": "Repairs"}},
        "provider": of_provider,
    });
    assert_eq!(list(&world, &customer, CUSTOMER).await, [expected.clone()], "her own message is not unread");
    expected["customer"] = of_customer;
    expected["unreadCount"] = json!(1);
    assert_eq!(list(&world, &lsm, LSM).await, [expected.clone()]);
    expected.as_object_mut().expect("a chat").remove("provider");
    assert_eq!(list(&world, &provider.user, PROVIDER).await, [expected]);

    world
        .sql("update stm.jobs set status = 'in_progress'; delete from stm.messages; update stm.chats set last_seq = 0")
        .await;
    world.sql("update stm.chat_members set left_at = now() where side = 'local_service_manager'").await;
    let [silent] = &list(&world, &customer, CUSTOMER).await[..] else { panic!("one chat") };
    assert_eq!((&silent["lastMessage"], &silent["unreadCount"]), (&Value::Null, &json!(0)));
    assert_eq!((&silent["lsm_joined"], &silent["localServiceManager"]), (&json!(false), &Value::Null));
    assert_eq!(silent["job"]["status"], "in_progress");
}

#[tokio::test]
async fn unread_are_the_messages_of_others_since_the_last_read_one() {
    let Scene { world, customer, provider } = Scene::start().await;
    let lsm = world.lsm().await;
    let chat = chat(&world, &customer, &provider).await;
    join(&world, &chat, &lsm).await;
    let counts = async || {
        let of = async |who: &User, path: &str| unread(&list(&world, who, path).await);
        [of(&customer, CUSTOMER).await, of(&provider.user, PROVIDER).await, of(&lsm, LSM).await].concat()
    };
    assert_eq!(counts().await, [0, 1, 1], "the booking's own message, for all but its sender");
    for (sender, side) in
        [(&customer, "customer"), (&provider.user, "service_provider"), (&lsm, "local_service_manager")]
    {
        say(&world, &chat, sender, side, "one", 1).await;
        say(&world, &chat, sender, side, "two", 2).await;
    }
    assert_eq!(counts().await, [4, 5, 5]);

    let read =
        |who: &User, seq: i64| format!("update stm.chat_members set last_read_seq = {seq} where user_id = {}", who.id);
    world.sql(&read(&customer, 4)).await;
    world.sql(&read(&provider.user, 7)).await;
    assert_eq!(counts().await, [3, 0, 5], "of messages 5 to 7: all by others; everything read; nothing read");
    say(&world, &chat, &provider.user, "service_provider", "three", 3).await;
    assert_eq!(counts().await, [4, 0, 6], "the provider's own messages are never unread");

    world.sql("update stm.chats set closed_at = now()").await;
    assert_eq!(counts().await, [0, 0, 0], "nothing is unread in a closed chat");
    assert_eq!(list(&world, &customer, CUSTOMER).await[0]["lastMessage"]["message"], "three", "but it is still there");
}

#[tokio::test]
async fn the_most_recent_activity_comes_first_in_pages() {
    let world = World::start(SERVE).await;
    let provider = world.provider("Plumbing").await;
    let mut chats = Vec::new();
    let mut customers = Vec::new();
    for _ in 0..5 {
        let customer = world.customer().await;
        chats.push(chat(&world, &customer, &provider).await);
        customers.push(customer);
    }
    let path = |query: &str| format!("{PROVIDER}{query}");
    let all = list(&world, &provider.user, PROVIDER).await;
    assert_eq!(
        ids(&all),
        chats.iter().rev().map(String::as_str).collect::<Vec<_>>(),
        "as long as there are no more messages"
    );

    say(&world, &chats[1], &customers[1], "customer", "hello", 10).await;
    say(&world, &chats[3], &provider.user, "service_provider", "hello", 20).await;
    // One without a message counts from its beginning.
    world
        .sql(&format!(
            "delete from stm.messages where chat_id = '{0}';
             update stm.chats set last_seq = 0, created_at = now() + interval '15 s' where id = '{0}'",
            chats[0]
        ))
        .await;
    let expected = [3, 0, 1, 4, 2].map(|index: usize| chats[index].as_str());
    assert_eq!(ids(&list(&world, &provider.user, PROVIDER).await), expected);
    assert_eq!(unread(&list(&world, &provider.user, PROVIDER).await), [1, 0, 2, 1, 1]);

    let mut paged = Vec::new();
    for offset in [0, 2, 4, 6] {
        paged.extend(list(&world, &provider.user, &path(&format!("?limit=2&offset={offset}"))).await);
    }
    assert_eq!(ids(&paged), expected, "pages neither skip nor repeat");
    // At the same moment, the order is still one.
    world
        .sql("update stm.messages set created_at = '2026-01-01'; update stm.chats set created_at = '2026-01-01'")
        .await;
    let mut paged = Vec::new();
    for offset in 0..5 {
        paged.extend(list(&world, &provider.user, &path(&format!("?limit=1&offset={offset}"))).await);
    }
    assert_eq!(ids(&paged), ids(&all), "pages neither skip nor repeat");

    assert_eq!(list(&world, &provider.user, &path("?limit=100&offset=100000")).await, [] as [Value; 0]);
    for query in ["?limit=0", "?offset=-1", "?offset=100001", "?limit=x"] {
        world.get_as(&provider.user, &path(query)).await.expect(400);
    }
}

/// Without `limit` the newest hundred come, never more.
#[tokio::test]
async fn a_list_has_an_end() {
    let Scene { world, customer, provider } = Scene::start().await;
    chat(&world, &customer, &provider).await;
    world
        .sql(
            "with chat as (insert into stm.chats (job_id) select j.id from stm.jobs j, generate_series(1, 104) returning id)
             insert into stm.chat_members (chat_id, user_id, side)
             select chat.id, m.user_id, m.side from chat, stm.chat_members m",
        )
        .await;
    for (who, path) in [(&customer, CUSTOMER), (&provider.user, PROVIDER)] {
        assert_eq!(list(&world, who, path).await.len(), 100);
        assert_eq!(list(&world, who, &format!("{path}?offset=100")).await.len(), 5);
    }
}

#[tokio::test]
async fn only_members_who_have_not_left_see_a_chat() {
    let world = World::start(SERVE).await;
    let (customer, stranger, lsm) = (world.customer().await, world.customer().await, world.lsm().await);
    let (provider, other) = (world.provider("Plumbing").await, world.provider("Plumbing").await);
    let chat = chat(&world, &customer, &provider).await;
    let nothing: [Value; 0] = [];
    assert_eq!(list(&world, &stranger, CUSTOMER).await, nothing);
    assert_eq!(list(&world, &other.user, PROVIDER).await, nothing);
    assert_eq!(list(&world, &lsm, LSM).await, nothing, "overseeing a provider is not membership");

    join(&world, &chat, &lsm).await;
    let everybody = [(&customer, CUSTOMER), (&provider.user, PROVIDER), (&lsm, LSM)];
    for (who, path) in everybody {
        assert_eq!(ids(&list(&world, who, path).await), [chat.as_str()]);
        for (_, others) in everybody.iter().filter(|(_, other)| *other != path) {
            let refused = world.get_as(who, others).await.expect(403);
            assert_eq!(refused["code"], "wrong_role");
        }
        world.get(path).await.expect(401);
    }
    let refused = async |path: &str, who: &User| world.get_as(who, path).await.expect(403)["detail"].clone();
    assert_eq!(refused(PROVIDER, &customer).await, "this is for service providers only");
    assert_eq!(refused(LSM, &customer).await, "this is for local service managers only");

    for (who, path) in everybody {
        world.sql(&format!("update stm.chat_members set left_at = now() where user_id = {}", who.id)).await;
        assert_eq!(list(&world, who, path).await, nothing, "{path} after leaving");
    }
}

/// A chat names the provider it is with, also when its job has gone to another one.
#[tokio::test]
async fn a_chat_keeps_its_provider() {
    let world = World::start(SERVE).await;
    let customer = world.customer().await;
    let (first, second) = (world.provider("Plumbing").await, world.provider("Plumbing").await);
    chat(&world, &customer, &first).await;
    world.sql(&format!("update stm.jobs set provider_id = {}", second.id)).await;
    assert_eq!(list(&world, &customer, CUSTOMER).await[0]["provider"]["id"], first.id);
    assert_eq!(list(&world, &first.user, PROVIDER).await.len(), 1);
    assert_eq!(list(&world, &second.user, PROVIDER).await, [] as [Value; 0]);
}

/// What the lists count per chat is read from an index alone.
#[tokio::test]
async fn unread_messages_are_counted_from_an_index_alone() {
    let Scene { world, customer, provider } = Scene::start().await;
    let chat = chat(&world, &customer, &provider).await;
    world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select '{chat}', i, {}, 'customer', 'message ' || i from generate_series(2, 5000) i",
            customer.id
        ))
        .await;
    world.sql("vacuum analyze stm.messages").await;
    let user = provider.user.id.to_string();
    let statement = with_arguments(&function("list_chats_v1").sql, &[&user, "'service_provider'", "100", "0"]);
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain {statement}")))
        .fetch_all(&mut world.database.session().await)
        .await
        .expect("a plan");
    let count = "Index Only Scan using messages_chat_id_seq_key on messages unread";
    assert!(plan.iter().any(|line| line.contains(count)), "{plan:#?}");
}
