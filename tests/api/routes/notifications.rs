//! The caller's notifications: listing, reading, clearing.

use serde_json::{Value, json};
use testing::world::{User, World};

use crate::support::{SERVE, Scene};

const NOBODYS: &str = "/notifications/019b0000-0000-7000-8000-000000000000";

/// `count` notifications of a user, in the order of their titles 1, 2, 3…: every third about money and the
/// others about a job; every fourth read.
async fn notify(world: &World, user: &User, count: i64) {
    world
        .sql(&format!(
            "insert into stm.notifications (id, recipient_id, type, title, message, metadata, read_at)
             select ('018bcfe5-' || lpad(to_hex(i), 4, '0') || '-7000-8000-' || lpad(to_hex({0}), 12, '0'))::uuid, {0},
                    case when i % 3 = 0 then 'payment' else 'job' end, i::text, 'message', jsonb_build_object('jobId', i),
                    case when i % 4 = 0 then now() end
             from generate_series(1, {count}) i;",
            user.id
        ))
        .await;
}

fn titles(page: &Value) -> Vec<i64> {
    let notifications = page["notifications"].as_array().expect("notifications");
    let title = |notification: &Value| notification["title"].as_str().and_then(|title| title.parse().ok());
    notifications.iter().map(|notification| title(notification).expect("a number")).collect()
}

#[tokio::test]
async fn the_list_is_the_callers_newest_first_and_filtered() {
    let world = World::start(SERVE).await;
    let (ann, bob, lsm, admin) =
        (world.customer().await, world.customer().await, world.lsm().await, world.admin().await);
    notify(&world, &ann, 24).await;
    notify(&world, &bob, 3).await;
    let list = async |query: &str| world.get_as(&ann, &format!("/notifications{query}")).await.expect(200);

    let page = list("").await;
    assert_eq!(titles(&page), (5..=24).rev().collect::<Vec<_>>());
    let [total, limit, offset, unread] = ["total", "limit", "offset", "unreadCount"].map(|key| page[key].clone());
    assert_eq!((total, limit, offset, unread), (json!(24), json!(20), json!(0), json!(18)));
    let newest = &page["notifications"][0];
    let expected = json!({
        "id": newest["id"], "recipient_type": "customer", "recipient_id": ann.id, "type": "payment", "title": "24", "message": "message",
        "is_read": true, "created_at": newest["created_at"], "metadata": {"jobId": 24, "job_id": 24},
    });
    assert_eq!(*newest, expected);
    assert!(newest["created_at"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{newest}");

    for (query, expected, total) in [
        ("?type=payment", vec![24, 21, 18, 15, 12, 9, 6, 3], 8),
        ("?is_read=true", vec![24, 20, 16, 12, 8, 4], 6),
        ("?is_read=true&type=payment", vec![24, 12], 2),
        ("?is_read=false&type=payment&limit=2&offset=1", vec![18, 15], 6),
        ("?type=feedback", vec![], 0),
        ("?limit=100&offset=23", vec![1], 24),
        ("?offset=100000", vec![], 24),
    ] {
        let page = list(query).await;
        assert_eq!((titles(&page), &page["total"]), (expected, &json!(total)), "{query}");
        assert_eq!(page["unreadCount"], 18, "{query}: of all that is the caller's");
    }
    for query in ["?limit=0", "?offset=-1", "?offset=100001", "?limit=x", "?type=x", "?is_read=2", "?before=1"] {
        world.get_as(&ann, &format!("/notifications{query}")).await.expect(400);
    }
    let both = world.get_as(&ann, "/notifications?limit=0&offset=-1").await.expect(400);
    assert_eq!(both["message"], json!(["limit must be at least 1", "offset must be 0 to 100000"]));
    world.get("/notifications").await.expect(401);

    for (user, role) in [(&lsm, "local_service_manager"), (&admin, "admin")] {
        notify(&world, user, 1).await;
        let page = world.get_as(user, "/notifications").await.expect(200);
        assert_eq!((titles(&page), &page["notifications"][0]["recipient_type"]), (vec![1], &json!(role)));
    }
}

/// The cursor returns every notification once, whatever arrives or goes between two pages.
#[tokio::test]
async fn the_cursor_neither_skips_nor_repeats() {
    let world = World::start(SERVE).await;
    let (ann, bob) = (world.customer().await, world.customer().await);
    notify(&world, &ann, 50).await;
    notify(&world, &bob, 50).await;
    for (filter, expected) in [("", 50), ("&type=job", 34), ("&is_read=false&type=payment", 12)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.get_as(&ann, &format!("/notifications?limit=7{filter}{cursor}")).await.expect(200);
            assert!(page["total"].as_u64() >= Some(expected), "the cursor changes nothing about it: {page}");
            let Some(last) = page["notifications"].as_array().and_then(|page| page.last()) else { break };
            cursor = format!("&before={}", last["id"].as_str().expect("an id"));
            seen.extend(titles(&page));
            assert!(seen.len() as u64 <= expected, "{filter}: {seen:?}");
            world.sql(&format!("insert into stm.notifications (recipient_id, type, title, message) values ({}, 'system', '0', 'new')", ann.id)).await;
        }
        assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
        assert_eq!(seen.len() as u64, expected, "{filter}");
        world.sql("delete from stm.notifications where type = 'system'").await;
    }

    // The cursor's own notification may be gone, and it combines with `offset`.
    let page = world.get_as(&ann, "/notifications?limit=10").await.expect(200);
    let cursor = page["notifications"][9]["id"].as_str().expect("an id").to_owned();
    world.delete_as(&ann, &format!("/notifications/{cursor}")).await.expect(200);
    let next = async |more: &str| {
        titles(&world.get_as(&ann, &format!("/notifications?before={cursor}&limit=3{more}")).await.expect(200))
    };
    assert_eq!(next("").await, [40, 39, 38]);
    assert_eq!(next("&offset=2").await, [38, 37, 36]);
}

#[tokio::test]
async fn one_is_read_marked_and_deleted_by_its_recipient_alone() {
    let world = World::start(SERVE).await;
    let (ann, bob) = (world.customer().await, world.customer().await);
    notify(&world, &ann, 3).await;
    let list = world.get_as(&ann, "/notifications").await.expect(200);
    let first = &list["notifications"][0];
    let path = format!("/notifications/{}", first["id"].as_str().expect("an id"));
    let read = format!("{path}/read");
    assert_eq!(world.get_as(&ann, &path).await.expect(200), *first);

    let missing = world.get_as(&bob, NOBODYS).await.expect(404);
    assert_eq!((&missing["detail"], &missing["code"]), (&json!("notification not found"), &json!("not_found")));
    let mut refused = Vec::new();
    for (user, path) in [(&bob, path.as_str()), (&ann, NOBODYS)] {
        refused.push(world.get_as(user, path).await.expect(404));
        refused.push(world.delete_as(user, path).await.expect(404));
        refused.push(world.patch_as(user, &format!("{path}/read")).await.expect(404));
    }
    for mut refused in refused {
        refused["requestId"] = missing["requestId"].clone();
        assert_eq!(refused, missing, "whether it exists makes no difference");
    }
    for path in ["/notifications/1", "/notifications/x"] {
        world.get_as(&ann, path).await.expect(400);
        world.delete_as(&ann, path).await.expect(400);
        world.patch_as(&ann, &format!("{path}/read")).await.expect(400);
    }
    assert_eq!(world.get_as(&ann, &path).await.expect(200), *first, "nobody else has changed it");

    let mut expected = first.clone();
    expected["is_read"] = json!(true);
    assert_eq!(world.patch_as(&ann, &read).await.expect(200), expected);
    let read_at = format!(
        "select (extract(epoch from read_at) * 1e6)::bigint from stm.notifications where read_at is not null and recipient_id = {}",
        ann.id
    );
    let first_read = world.number(&read_at).await;
    assert_eq!(world.patch_as(&ann, &read).await.expect(200), expected, "again is as good as once");
    assert_eq!(world.number(&read_at).await, first_read, "when it was first read stays");
    assert_eq!(world.get_as(&ann, &path).await.expect(200), expected);
    assert_eq!(world.get_as(&ann, "/notifications/unread-count").await.expect(200), json!({"count": 2}));

    assert_eq!(world.delete_as(&ann, &path).await.expect(200), json!({"message": "Notification deleted successfully"}));
    world.delete_as(&ann, &path).await.expect(404);
    world.patch_as(&ann, &read).await.expect(404);
    assert_eq!(titles(&world.get_as(&ann, "/notifications").await.expect(200)), [2, 1]);
}

#[tokio::test]
async fn all_are_marked_and_the_read_ones_cleared_for_the_caller_alone() {
    let world = World::start(SERVE).await;
    let (ann, bob) = (world.customer().await, world.customer().await);
    notify(&world, &ann, 10).await;
    notify(&world, &bob, 5).await;
    let unread = async |user: &User| world.get_as(user, "/notifications/unread-count").await.expect(200);
    assert_eq!((unread(&ann).await, unread(&bob).await), (json!({"count": 8}), json!({"count": 4})));

    assert_eq!(world.delete_as(&ann, "/notifications/clear-read").await.expect(200), json!({"count": 2}));
    assert_eq!(titles(&world.get_as(&ann, "/notifications").await.expect(200)), [10, 9, 7, 6, 5, 3, 2, 1]);
    assert_eq!(world.patch_as(&ann, "/notifications/mark-all-read").await.expect(200), json!({"count": 8}));
    assert_eq!(world.patch_as(&ann, "/notifications/mark-all-read").await.expect(200), json!({"count": 0}));
    assert_eq!(unread(&ann).await, json!({"count": 0}));
    assert_eq!(world.delete_as(&ann, "/notifications/clear-read").await.expect(200), json!({"count": 8}));
    assert_eq!(world.delete_as(&ann, "/notifications/clear-read").await.expect(200), json!({"count": 0}));
    let empty = world.get_as(&ann, "/notifications").await.expect(200);
    assert_eq!(empty, json!({"notifications": [], "total": 0, "limit": 20, "offset": 0, "unreadCount": 0}));

    assert_eq!(unread(&bob).await, json!({"count": 4}), "nobody else's");
    assert_eq!(titles(&world.get_as(&bob, "/notifications").await.expect(200)), [5, 4, 3, 2, 1]);
}

/// What a booking writes is what its provider reads.
#[tokio::test]
async fn a_booking_is_in_its_providers_list() {
    let scene = Scene::booked().await;
    let page = scene.world.get_as(&scene.provider.user, "/notifications?type=job&is_read=false").await.expect(200);
    let notified = &page["notifications"][0];
    let [title, recipient_type] = ["title", "recipient_type"].map(|key| notified[key].clone());
    assert_eq!((title, recipient_type), (json!("New job request"), json!("service_provider")));
    assert_eq!(
        notified["metadata"],
        json!({"jobId": scene.job, "job_id": scene.job, "chatId": scene.chat, "chat_id": scene.chat})
    );
    assert_eq!(scene.world.get_as(&scene.customer, "/notifications").await.expect(200)["total"], 0);
}
