//! Files: what may be uploaded, what becomes of it, and who may open it until when.

use std::time::{Duration, Instant};

use image::{GenericImageView as _, ImageFormat};
use reqwest::Method;
use serde_json::{Value, json};
use testing::server::{PUBLIC_URL, Server};
use testing::world::{PASSWORD, User, World, booking};
use testing::{PATIENCE, s3};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::files::{PDF, encoded, photo, picture, png, stored};
use crate::support::{SERVE, Scene, ask, connect, join};

const CHAT: &str = "/chat/upload-files";
const JOB: &str = "/jobs/images/upload";
const DOCUMENTS: &str = "/provider-onboarding/documents/upload";

async fn attach(world: &World, who: &User, name: &str, bytes: Vec<u8>) -> String {
    let answer = world.upload(who, CHAT, "files", vec![(name, bytes)], &[]).await.expect(201);
    answer["urls"][0].as_str().expect("a URL").to_owned()
}

async fn job_image(scene: &Scene, name: &str, bytes: Vec<u8>) -> String {
    let answer = scene.world.upload(&scene.customer, JOB, "images", vec![(name, bytes)], &[]).await.expect(201);
    answer["imageUrls"][0].as_str().expect("a URL").to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

#[tokio::test]
async fn a_photo_is_turned_upright_and_keeps_no_secret() {
    let scene = Scene::start().await;
    let url = job_image(&scene, "IMG 0001.jpg", photo()).await;
    assert!(url.ends_with("/IMG%200001.jpg"), "{url}");
    let opened = scene.world.open(&url).await;
    assert_eq!((opened.status, opened.header("content-type")), (200, "image/jpeg"));
    for secret in [&b"Exif"[..], b"GPS"] {
        assert!(!opened.bytes.windows(secret.len()).any(|window| window == secret));
    }
    let shown = image::load_from_memory(&opened.bytes).expect("a picture");
    assert_eq!(shown.dimensions(), (8, 16));
    let (above, below) = (shown.get_pixel(4, 2), shown.get_pixel(4, 13));
    assert!(above[0] > 200 && above[2] < 60 && below[2] > 200 && below[0] < 60, "{above:?} {below:?}");
}

#[tokio::test]
async fn large_pictures_are_made_smaller() {
    let scene = Scene::start().await;
    for (format, name) in [
        (ImageFormat::Png, "a.png"),
        (ImageFormat::Jpeg, "a.jpg"),
        (ImageFormat::WebP, "a.webp"),
        (ImageFormat::Gif, "a.gif"),
    ] {
        let url = job_image(&scene, name, encoded(&picture(2100, 30), format)).await;
        let shown = image::load_from_memory(&scene.world.open(&url).await.bytes).expect("a picture");
        assert_eq!(shown.width(), 2048, "{name}");
    }
}

#[tokio::test]
async fn an_answer_about_a_file_is_safe_and_complete() {
    let scene = Scene::booked().await;
    let url = attach(&scene.world, &scene.customer, "offer.pdf", PDF.to_vec()).await;
    let world = &scene.world;
    let opened = world.open(&url).await;
    assert_eq!((opened.status, &*opened.bytes), (200, PDF));
    for (header, expected) in [
        ("content-type", "application/pdf"),
        ("content-disposition", "inline; filename*=UTF-8''offer.pdf"),
        ("x-content-type-options", "nosniff"),
        ("access-control-allow-origin", "https://elsewhere.example"),
        ("access-control-allow-credentials", ""),
        ("cross-origin-resource-policy", "cross-origin"),
        ("accept-ranges", "bytes"),
        ("content-length", &PDF.len().to_string()),
    ] {
        assert_eq!(opened.header(header), expected, "{header}");
    }
    assert!(opened.header("content-security-policy").contains("default-src 'none'"));
    assert!(opened.header("cache-control").starts_with("private, max-age="));

    let head = world.open_with(Method::HEAD, &url, &[]).await;
    assert_eq!(
        (head.status, head.bytes.len(), head.header("content-length")),
        (200, 0, opened.header("content-length"))
    );
    let tag = opened.header("etag").to_owned();
    assert_eq!(world.open_with(Method::GET, &url, &[("if-none-match", &tag)]).await.status, 304);
    for (range, status, expected) in [
        ("bytes=0-3", 206, &PDF[..4]),
        ("bytes=5-", 206, &PDF[5..]),
        ("bytes=-6", 206, &PDF[PDF.len() - 6..]),
        ("bytes=0-1,3-4", 200, PDF),
    ] {
        let part = world.open_with(Method::GET, &url, &[("range", range)]).await;
        assert_eq!((part.status, &*part.bytes), (status, expected), "{range}");
    }
    let part = world.open_with(Method::GET, &url, &[("range", "bytes=0-3")]).await;
    assert_eq!(part.header("content-range"), format!("bytes 0-3/{}", PDF.len()));
    assert_eq!(world.open_with(Method::GET, &url, &[("range", "bytes=5000-")]).await.status, 416);
    let other = world.open_with(Method::GET, &url, &[("range", "bytes=0-3"), ("if-range", "\"x\"")]).await;
    assert_eq!(other.status, 200);

    let text = attach(world, &scene.customer, "notes.txt", b"Hello".to_vec()).await;
    let opened = world.open(&text).await;
    assert_eq!(opened.header("content-disposition"), "attachment; filename*=UTF-8''notes.txt");
    assert!(opened.header("content-security-policy").starts_with("sandbox"));
}

#[tokio::test]
async fn hostile_files_are_refused_and_leave_nothing() {
    let scene = Scene::booked().await;
    let jpeg = encoded(&picture(300, 300), ImageFormat::Jpeg);
    let truncated = jpeg[..jpeg.len() / 2].to_vec();
    for (name, bytes) in [
        ("bomb.png", bomb(65_000)),
        ("many pixels.png", bomb(10_000)),
        ("truncated.jpg", truncated),
        ("picture.pdf", png(4, 4)),
        ("picture.exe", png(4, 4)),
        ("page.txt", b"<!DOCTYPE html><script>alert(1)</script>".to_vec()),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec()),
        ("script.txt", b"#!/bin/sh\nrm -rf /".to_vec()),
        ("program.png", b"MZ\x90\0\x03".to_vec()),
        ("empty.png", Vec::new()),
        ("letter.docx", b"PK\x03\x04".to_vec()),
        ("noise.jpg", [&b"\xff\xd8\xff\xe0"[..], &[7; 500]].concat()),
    ] {
        let answer = scene.world.upload(&scene.customer, CHAT, "files", vec![(name, bytes)], &[]).await;
        let body = answer.expect(400);
        assert!(text(&body["message"][0]).contains(name), "{name}: {body}");
    }
    // One of several is refused: none is kept.
    let files = vec![("good.png", png(5, 5)), ("bad.png", b"bad".to_vec())];
    let body = scene.world.upload(&scene.customer, CHAT, "files", files, &[]).await.expect(400);
    assert_eq!(body["errors"][0]["field"], "files[1]");
    let large = vec![0; 10 * 1024 * 1024 + 1];
    let body = scene.world.upload(&scene.customer, CHAT, "files", vec![("large.txt", large)], &[]).await.expect(413);
    assert!(text(&body["message"]).contains("large.txt"), "{body}");
    let eleven = (0..11).map(|_| ("a.png", png(3, 3))).collect();
    scene.world.upload(&scene.customer, CHAT, "files", eleven, &[]).await.expect(400);
    scene.world.upload(&scene.customer, CHAT, "files", Vec::new(), &[("a", "b")]).await.expect(400);
    scene.world.upload(&scene.customer, CHAT, "other", vec![("a.png", png(3, 3))], &[]).await.expect(400);
    assert_eq!((stored(&scene.world), scene.world.number("select count(*) from stm.files").await), (0, 0));
}

/// A tiny PNG whose header claims a square with this side.
fn bomb(side: u32) -> Vec<u8> {
    let mut bomb = png(1, 1);
    bomb[16..24].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
    let checksum = crc32(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&checksum);
    bomb
}

/// The checksum of a PNG's chunk.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[tokio::test]
async fn a_picture_that_is_also_a_script_is_only_a_picture() {
    let scene = Scene::start().await;
    let mut gif = encoded(&picture(8, 8), ImageFormat::Gif);
    gif.extend(b"*/=alert(document.domain)//");
    let opened = scene.world.open(&job_image(&scene, "a.gif", gif).await).await;
    assert!(!opened.bytes.windows(5).any(|window| window == b"alert"));
    assert_eq!((opened.header("content-type"), opened.header("x-content-type-options")), ("image/gif", "nosniff"));
}

#[tokio::test]
async fn names_are_cleaned() {
    let scene = Scene::start().await;
    let long = format!("{}.png", "x".repeat(300));
    for (number, (given, expected)) in [
        ("../../etc/passwd.png", "passwd.png"),
        ("a\u{202e}gnp.png", "agnp.png"),
        ("Küche & Bad.png", "K%C3%BCche%20%26%20Bad.png"),
        ("blob", "blob.png"),
        (&*long, &*format!("{}.png", "x".repeat(176))),
    ]
    .into_iter()
    .enumerate()
    {
        let url = job_image(&scene, given, png(30 + u32::try_from(number).expect("a few"), 3)).await;
        assert!(url.ends_with(&format!("/{expected}")), "{given}: {url}");
        assert_eq!(scene.world.open(&url).await.status, 200, "{url}");
    }
}

#[tokio::test]
async fn a_url_cannot_be_changed_and_dies() {
    let scene = Scene::start().await;
    let url = job_image(&scene, "a.png", png(6, 6)).await;
    let opens = async |url: &str| scene.world.open(url).await.status;
    assert_eq!(opens(&url).await, 200);
    let mut parts: Vec<String> = url.split('/').map(str::to_owned).collect();
    let [id, grant, signature, name] = [4, 5, 6, 7];
    for (part, other) in [
        (id, "00000000-0000-4000-8000-000000000000".to_owned()),
        (id, "x".to_owned()),
        (grant, "p.0".to_owned()),
        (grant, format!("{}9", parts[grant])),
        (grant, format!("{}.small", parts[grant])),
        (signature, "AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        (name, "b.png".to_owned()),
    ] {
        let kept = std::mem::replace(&mut parts[part], other);
        let status = opens(&parts.join("/")).await;
        assert!(matches!(status, 400 | 404), "{}: {status}", parts.join("/"));
        parts[part] = kept;
    }
}

async fn book(scene: &Scene, images: &[&str]) -> (i64, String) {
    let mut request = booking(&scene.provider);
    request["images"] = json!(images);
    let booked = scene.customer_posts("/jobs/create", &request).await.expect(201);
    (booked["job"]["id"].as_i64().expect("an id"), text(&booked["chat"]["id"]).to_owned())
}

#[tokio::test]
async fn a_booking_shows_its_pictures_to_both_parties() {
    let scene = Scene::start().await;
    let ours = job_image(&scene, "kitchen.png", png(7, 7)).await;
    let elsewhere = "https://cdn.example/b.png";
    let (job, chat) = book(&scene, &[&ours, elsewhere]).await;
    let (world, provider) = (&scene.world, &scene.provider.user);
    let of_customer = world.get_as(&scene.customer, &format!("/customers/jobs/{job}")).await.expect(200);
    let of_provider = world.get_as(provider, &format!("/provider/jobs/{job}")).await.expect(200);
    let listed = world.get_as(&scene.customer, "/customer/jobs").await.expect(200);
    let pending = world.get_as(provider, "/provider/pending-jobs").await.expect(200);
    let all = world.get_as(provider, "/provider/jobs").await.expect(200);
    for images in [
        &of_customer["job"]["images"],
        &of_provider["job"]["images"],
        &listed[0]["images"],
        &pending[0]["images"],
        &all["data"][0]["images"],
    ] {
        assert_eq!(images[1], elsewhere);
        assert_eq!(world.open(text(&images[0])).await.status, 200);
    }
    let history = world.get_as(provider, &format!("/chat/{chat}/messages")).await.expect(200);
    let message = history["messages"].as_array().expect("a list").iter().find(|one| one["message_type"] == "image");
    let images: Value = serde_json::from_str(text(&message.expect("an image")["message"])).expect("JSON");
    assert_eq!((&images["count"], &images["images"][1]), (&json!(2), &json!(elsewhere)));
    assert_eq!(world.open(text(&images["images"][0])).await.status, 200);
    assert_eq!(world.number("select count(*) from stm.files where state = 'attached'").await, 1);
}

#[tokio::test]
async fn nobody_books_with_another_ones_pictures() {
    let scene = Scene::start().await;
    let other = scene.world.customer().await;
    let foreign = scene.world.upload(&other, JOB, "images", vec![("a.png", png(9, 9))], &[]).await.expect(201);
    let foreign = text(&foreign["imageUrls"][0]).to_owned();
    let forged = foreign.replace(&format!("/u{}.", other.id), &format!("/u{}.", scene.customer.id));
    for image in [foreign, forged, format!("{PUBLIC_URL}/files/x")] {
        let mut request = booking(&scene.provider);
        request["images"] = json!([image]);
        let refused = scene.customer_posts("/jobs/create", &request).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], "images[0]", "{refused}");
    }
}

#[tokio::test]
async fn attachments_are_for_the_members_of_their_chat() {
    let scene = Scene::booked().await;
    let (world, chat) = (&scene.world, &scene.chat);
    let url = attach(world, &scene.customer, "plan.pdf", PDF.to_vec()).await;
    let [(customer, _), (_provider, mut incoming)] = scene.connect().await;
    let payload = json!({"chatId": chat, "message": url, "message_type": "document"});
    ask(&customer, "send_message", payload).await;
    let emitted = loop {
        let event = incoming.recv().await.expect("an event");
        if event.is("new_message") {
            break text(&event.payload()["message"]).to_owned();
        }
    };
    assert!(emitted.ends_with("/plan.pdf") && emitted != url, "{emitted}");
    assert_eq!(world.open(&emitted).await.bytes, PDF);
    let history = scene.messages().await;
    assert_eq!(world.open(text(&history.last().expect("a message")["message"])).await.status, 200);
    let list = world.get_as(&scene.provider.user, "/chat/provider/chats").await.expect(200);
    assert_eq!(world.open(text(&list[0]["lastMessage"]["message"])).await.status, 200);
    let stored = world.text("select message from stm.messages where message_type = 'document'").await;
    assert!(stored.starts_with("/files/") && stored.ends_with("/plan.pdf"), "{stored}");
    assert_eq!(world.text("select state from stm.files").await, "attached");

    // Somebody else's upload, a URL of another chat, and a reference as it is stored, become no URLs of this one.
    let foreign = attach(world, &scene.provider.user, "mine.txt", b"mine".to_vec()).await;
    let (other, other_provider) = (world.customer().await, world.provider("Plumbing").await);
    let other_chat = world.book(&other, &other_provider).await["chat"]["id"].clone();
    let (socket, _events) = connect(&world.server, &other).await;
    join(&socket, text(&other_chat)).await;
    for message in [foreign, emitted, stored] {
        let payload = json!({"chatId": other_chat, "message": message, "message_type": "document"});
        let answer = socket.ask("send_message", &payload).await.expect("an answer");
        assert_eq!(answer["error"]["code"], "invalid", "{answer}");
    }
}

#[tokio::test]
async fn what_nothing_refers_to_is_swept() {
    let mut scene = Scene::booked().await;
    let kept = attach(&scene.world, &scene.customer, "kept.png", png(11, 11)).await;
    let lost = attach(&scene.world, &scene.customer, "lost.png", png(12, 12)).await;
    let world = &scene.world;
    let [(customer, _), _] = scene.connect().await;
    let payload = json!({"chatId": scene.chat, "message": kept, "message_type": "image"});
    ask(&customer, "send_message", payload).await;
    assert_eq!(stored(world), 4);
    // As a process leaves it that was killed while it stored a file.
    let half = world.database.files_dir().join("files/00000000-0000-4000-8000-000000000001");
    std::fs::create_dir_all(&half).expect("a directory");
    let name = if s3().is_some() { "display" } else { "display#1" };
    std::fs::write(half.join(name), b"half").expect("a file");
    world
        .sql(&format!(
            "update stm.files set created_at = now() - interval '25 hours';
             insert into stm.files (id, owner_id, purpose, key, name, content_type, bytes, received_bytes, sha256, created_at)
             values ('00000000-0000-4000-8000-000000000001', {}, 'chat_attachment', 'files/00000000-0000-4000-8000-000000000001',
                     'a', 'image/png', 1, 1, sha256('x'), now() - interval '1 hour')",
            scene.customer.id
        ))
        .await;
    scene.world.server.kill();
    scene.world.server = Server::start(SERVE, &scene.world.environment(&[]));
    let started = Instant::now();
    while stored(&scene.world) != 2 {
        assert!(started.elapsed() < PATIENCE, "{} files are left", stored(&scene.world));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.world.open(&kept).await.status, 200);
    assert_eq!(scene.world.open(&lost).await.status, 404);
}

#[tokio::test]
async fn an_upload_that_breaks_leaves_nothing() {
    let scene = Scene::booked().await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: stm\r\nauthorization: Bearer {}\r\ncontent-type: multipart/form-data; boundary=x\r\n\
         content-length: 100000\r\n\r\n--x\r\ncontent-disposition: form-data; name=\"files\"; filename=\"a.png\"\r\n\r\n",
        scene.customer.token
    );
    let mut stream = TcpStream::connect(("127.0.0.1", scene.world.server.port)).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("a head");
    stream.write_all(&png(300, 300)[..1000]).await.expect("a part");
    drop(stream);
    // Another upload is not harmed.
    attach(&scene.world, &scene.customer, "a.png", png(3, 3)).await;
    assert_eq!((stored(&scene.world), scene.world.number("select count(*) from stm.files").await), (2, 1));
}

#[tokio::test]
async fn too_much_on_one_day_is_refused() {
    let scene = Scene::booked().await;
    attach(&scene.world, &scene.customer, "a.png", png(3, 3)).await;
    scene.world.sql("update stm.files set received_bytes = 1024 * 1024 * 1024").await;
    let files = vec![("b.png", png(4, 4))];
    scene.world.upload(&scene.customer, CHAT, "files", files, &[]).await.expect(429);
}

/// Many requests at once, each of which is within the limit when it begins.
#[tokio::test]
async fn a_burst_does_not_pass_the_limit_of_a_day() {
    let scene = Scene::booked().await;
    attach(&scene.world, &scene.customer, "a.png", png(3, 3)).await;
    scene.world.sql("update stm.files set received_bytes = 1024 * 1024 * 1024 - 100").await;
    let files = |n: u8| (0..5).map(|m| ("a.txt", [b'a' + n, b'a' + m].repeat(20))).collect::<Vec<_>>();
    let uploads = (0..12).map(|n| scene.world.upload(&scene.customer, CHAT, "files", files(n), &[]));
    let answers = futures_util::future::join_all(uploads).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 429)));
    let more = "select count(*) from stm.files where created_at > now() - interval '1 day' and name = 'a.txt'";
    assert!(scene.world.number(more).await <= 3, "{}", scene.world.number(more).await);
}

/// The other party still sees what was sent.
#[tokio::test]
async fn a_closed_account_leaves_the_pictures_of_its_chats() {
    let scene = Scene::start().await;
    let url = job_image(&scene, "leak.png", png(9, 9)).await;
    let (job, chat) = book(&scene, &[&url]).await;
    let history = async || {
        let history = scene.world.get_as(&scene.provider.user, &format!("/chat/{chat}/messages")).await.expect(200);
        let messages = history["messages"].as_array().expect("messages").clone();
        let image = messages.into_iter().find(|message| message["message_type"] == "image").expect("an image");
        let sent = text(&image["message"]);
        serde_json::from_str::<Value>(sent).map_or(sent.to_owned(), |images| text(&images["images"][0]).to_owned())
    };
    assert_eq!(scene.world.open(&history().await).await.status, 200);
    scene.customer_posts(&format!("/customers/jobs/{job}/action"), &json!({"action": "cancel"})).await.expect(200);
    let closing = json!({"password": PASSWORD});
    scene.world.request(Method::DELETE, "/auth/me", Some(&scene.customer.token), Some(&closing)).await.expect(200);
    assert_eq!(scene.world.open(&history().await).await.status, 200);
}

#[tokio::test]
async fn a_ban_takes_the_pictures_of_a_business_away() {
    let scene = Scene::start().await;
    let (world, provider) = (&scene.world, &scene.provider.user);
    let files = vec![("a.png", png(4, 4))];
    let logo = world.upload(provider, "/provider/images/logo", "file", files, &[]).await.expect(201);
    let logo = text(&logo["logoUrl"]);
    assert_eq!(world.open(logo).await.status, 200);
    let ban = format!("/admin/providers/{}/ban", scene.provider.id);
    world.post_as(&world.admin().await, &ban, &json!({"reason": "Such pictures"})).await.expect(200);
    assert_eq!(world.open(logo).await.status, 404);
}

/// The same bytes are not checked again, but a name that lies is.
#[tokio::test]
async fn the_same_bytes_are_stored_once_under_honest_names() {
    let scene = Scene::booked().await;
    let upload = async |name| {
        let files = vec![(name, png(5, 5))];
        scene.world.upload(&scene.customer, CHAT, "files", files, &[]).await.status.as_u16()
    };
    assert_eq!([upload("a.png").await, upload("b.png").await, upload("c.pdf").await], [201, 201, 400]);
    assert_eq!(scene.world.number("select count(*) from stm.files").await, 1);
}

#[tokio::test]
async fn ranges_are_those_of_the_rfc() {
    let scene = Scene::booked().await;
    let url = attach(&scene.world, &scene.customer, "offer.pdf", PDF.to_vec()).await;
    let tag = scene.world.open(&url).await.header("etag").to_owned();
    let weak = format!("W/{tag}");
    for (headers, status) in [
        (vec![("range", "bytes=-0")], 416),
        (vec![("range", "bytes=0-3"), ("if-range", &*tag)], 206),
        (vec![("range", "bytes=0-3"), ("if-range", &*weak)], 200),
    ] {
        assert_eq!(scene.world.open_with(Method::GET, &url, &headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_closed_account_keeps_no_files_of_its_own() {
    let scene = Scene::start().await;
    let (world, provider) = (&scene.world, &scene.provider.user);
    let logo =
        world.upload(provider, "/provider/images/logo", "file", vec![("a.png", png(4, 4))], &[]).await.expect(201);
    world.upload(provider, DOCUMENTS, "file", vec![("a.pdf", PDF.to_vec())], &[]).await.expect(201);
    let closing = json!({"password": PASSWORD});
    world.request(Method::DELETE, "/auth/me", Some(&provider.token), Some(&closing)).await.expect(200);
    assert_eq!(world.open(text(&logo["logoUrl"])).await.status, 404);
    assert_eq!(world.number("select count(*) from stm.files where state <> 'deleted'").await, 0);
    assert_eq!(world.number("select count(*) from stm.provider_documents").await, 0);
}

#[tokio::test]
async fn an_attachment_needs_a_chat() {
    let scene = Scene::start().await;
    scene.world.upload(&scene.customer, CHAT, "files", vec![("a.png", png(3, 3))], &[]).await.expect(403);
}

#[tokio::test]
async fn pictures_of_a_business_are_public() {
    let scene = Scene::start().await;
    let (world, provider) = (&scene.world, &scene.provider.user);
    let upload = async |page: &str, bytes, fields: &[(&str, &str)]| {
        let path = format!("/provider/images/{page}");
        world.upload(provider, &path, "file", vec![("our picture.png", bytes)], fields).await.expect(201)
    };
    let first_logo = upload("logo", png(500, 10), &[]).await;
    let logo = upload("logo", png(500, 20), &[]).await;
    let banner = upload("banner", png(40, 40), &[]).await;
    let first = upload("gallery", png(50, 50), &[("caption", "Before")]).await;
    let second = upload("gallery", png(60, 60), &[]).await;
    // The same bytes again: another picture of the gallery, stored once.
    let again = upload("gallery", png(60, 60), &[]).await;
    assert_ne!(again["image"]["id"], second["image"]["id"]);
    assert_eq!(world.number("select count(*) from stm.files where purpose = 'gallery_image'").await, 2);

    let slug = format!("/providers/x-{}", scene.provider.id);
    let page = world.get(&slug).await.expect(200);
    assert_eq!(page["data"]["logoUrl"], logo["logoUrl"]);
    let search = json!({"service": "Plumbing", "zipcode": "10001"});
    let found = world.post("/homepage/search/providers", &search).await.expect(201);
    assert_eq!(found["data"]["providers"][0]["bannerUrl"], banner["bannerUrl"]);
    let images = world.get_as(provider, "/provider/images").await.expect(200);
    assert_eq!(images["galleryImages"], page["data"]["galleryImages"]);
    assert_eq!(images["galleryImages"][0]["caption"], "Before");
    let opened = world.open(text(&logo["logoUrl"])).await;
    assert_eq!((opened.status, opened.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    let small = world.open(text(&images["galleryImages"][0]["thumbnailUrl"])).await;
    assert_eq!(small.status, 200);
    assert_eq!(world.open(text(&first_logo["logoUrl"])).await.status, 404);

    let ids = |images: &Value| -> Vec<String> {
        let list = images["galleryImages"].as_array().expect("a list").iter();
        list.map(|image| text(&image["id"]).to_owned()).collect()
    };
    let mut order = ids(&images);
    order.reverse();
    let path = "/provider/images/gallery/reorder";
    world.put_as(provider, path, &json!({"imageIds": order})).await.expect(200);
    assert_eq!(ids(&world.get_as(provider, "/provider/images").await.expect(200)), order);
    for bad in [json!([]), json!([order[0], order[0], order[1]]), json!(["x"]), json!(order[..2])] {
        world.put_as(provider, path, &json!({"imageIds": bad})).await.expect(400);
    }
    let delete = async |image: &Value| {
        world
            .delete_as(provider, &format!("/provider/images/gallery/{}", text(&image["image"]["id"])))
            .await
            .expect(200)
    };
    delete(&second).await;
    assert_eq!(world.open(text(&again["image"]["url"])).await.status, 200, "the other one has the same bytes");
    delete(&again).await;
    assert_eq!(world.open(text(&again["image"]["url"])).await.status, 404);
    let left = world.get_as(provider, "/provider/images").await.expect(200);
    assert_eq!(
        (left["galleryImages"].as_array().map(Vec::len), &left["galleryImages"][0]["id"]),
        (Some(1), &first["image"]["id"])
    );
}
