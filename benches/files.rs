//! What files cost on their way through the real `serve` process, beside nginx with the same bytes in the same run: its
//! static files, and its `WebDAV` module, which writes what is PUT into a directory and checks nothing.
//!
//! Run by `scripts/bench`, on a database stack of its own; nginx must be installed. `BENCH_FILES_ROUNDS` (default 3) is the
//! number of turns for each side.

#![allow(clippy::expect_used, missing_docs, reason = "a bench fails by panicking")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures are printed with three digits"
)]

use std::process::Command;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use tempfile::TempDir;
use testing::process::Process;
use testing::report::{self, Figure, median, say, setting};
use testing::server::PUBLIC_URL;
use testing::usage::cpu_us;
use testing::world::{User, World};
use testing::{PATIENCE, lasting_port};

/// The largest file that anybody may upload.
const FILE_BYTES: usize = 10 * 1024 * 1024;
const FILE_MB: f64 = FILE_BYTES as f64 / 1e6;

/// Files of a turn, and how many of them are transferred at once.
const FILES: usize = 24;
const AT_ONCE: usize = 4;

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let (machine, rounds) = (report::machine(), setting("BENCH_FILES_ROUNDS", 3));
    let (ours, nginx) = (Ours::start().await, Nginx::start().await);
    // Each file begins at another offset, so all of them differ and nothing is deduplicated.
    let bytes: Vec<u8> = (0..FILE_BYTES + rounds * FILES).map(|at| b'a' + (at * at / 7 % 25) as u8).collect();
    let bytes: &'static [u8] = bytes.leak();
    let mut turns: [Vec<Turn>; 4] = Default::default();
    for round in 0..rounds {
        say(&format!("files: round {} of {rounds}", round + 1));
        let offset = |number| round * FILES + number;
        ours.forget_quota().await;
        turns[0].push(turn(ours.pid(), async |number| ours.upload(&bytes[offset(number)..][..FILE_BYTES]).await).await);
        turns[1].push(
            turn(nginx.pid(), async |number| nginx.upload(number, &bytes[offset(number)..][..FILE_BYTES]).await).await,
        );
        turns[2].push(turn(ours.pid(), async |_| ours.download().await).await);
        turns[3].push(turn(nginx.pid(), async |number| nginx.download(number).await).await);
    }
    let names = ["upload: this service", "upload: nginx, WebDAV", "download: this service", "download: nginx, static"];
    let mut figures = Vec::new();
    for (name, turns) in names.into_iter().zip(&turns) {
        let of = |value: fn(&Turn) -> f64| turns.iter().map(value).collect::<Vec<_>>();
        figures.push(Figure::new(name, "MB/s", of(|turn| turn.mb_per_s)));
        figures.push(Figure::new(format!("{name}: processor"), "ms/MB", of(|turn| turn.cpu_ms_per_mb)));
    }
    report::print(&figures);
    let ratio = |a: &[Turn], b: &[Turn]| {
        let cpu = |turns: &[Turn]| median(turns.iter().map(|turn| turn.cpu_ms_per_mb).collect());
        cpu(a) / cpu(b)
    };
    println!(
        "\n{machine}; {rounds} rounds in turn, each of {FILES} files of {FILE_MB:.1} MB, {AT_ONCE} at once, text, local disk.\n\
         Processor time of ours to nginx's: upload {:.1}, download {:.1}. An upload to us is hashed, recognised and recorded.",
        ratio(&turns[0], &turns[1]),
        ratio(&turns[2], &turns[3]),
    );
}

/// The figures of a turn.
struct Turn {
    mb_per_s: f64,
    cpu_ms_per_mb: f64,
}

async fn turn(pid: u32, work: impl AsyncFn(usize)) -> Turn {
    let (cpu, started) = (cpu_us(pid), Instant::now());
    stream::iter(0..FILES).for_each_concurrent(AT_ONCE, |number| work(number)).await;
    let (seconds, megabytes) = (started.elapsed().as_secs_f64(), FILES as f64 * FILE_MB);
    Turn { mb_per_s: megabytes / seconds, cpu_ms_per_mb: (cpu_us(pid) - cpu) / 1000.0 / megabytes }
}

/// The service, with a customer who is in a chat.
struct Ours {
    world: World,
    customer: User,
    /// Of a file that was uploaded.
    url: String,
}

impl Ours {
    async fn start() -> Self {
        let world = World::start(env!("CARGO_BIN_EXE_serve")).await;
        let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
        world.book(&customer, &provider).await;
        let files = vec![("first.txt", vec![b'y'; FILE_BYTES])];
        let answer = world.upload(&customer, "/chat/upload-files", "files", files, &[]).await.expect(201);
        let url = answer["urls"][0].as_str().expect("a URL");
        let url = url.replacen(PUBLIC_URL, &world.server.base_url(), 1);
        Self { world, customer, url }
    }

    fn pid(&self) -> u32 {
        self.world.server.pid()
    }

    async fn forget_quota(&self) {
        self.world.sql("update stm.files set received_bytes = 0").await;
    }

    async fn upload(&self, bytes: &'static [u8]) {
        let part = Part::bytes(bytes).file_name("a.txt");
        let request = self.world.raw(Method::POST, "/chat/upload-files").bearer_auth(&self.customer.token);
        World::answer(request.multipart(Form::new().part("files", part))).await.expect(201);
    }

    async fn download(&self) {
        read(&self.url).await;
    }
}

/// nginx, as one process, so that its processor time is that of one.
struct Nginx {
    process: Process,
    url: String,
    client: reqwest::Client,
    _directory: TempDir,
}

impl Nginx {
    async fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let (path, port) = (directory.path().display(), lasting_port());
        let settings = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/log; events {{}}\n\
             http {{ access_log off; sendfile on; client_max_body_size 20m; client_body_temp_path {path}/incoming;\n\
             server {{ listen 127.0.0.1:{port}; root {path}/files; location / {{ dav_methods PUT; create_full_put_path on; }} }} }}"
        );
        std::fs::create_dir(directory.path().join("files")).expect("a directory");
        let file = directory.path().join("settings");
        std::fs::write(&file, settings).expect("settings");
        let process =
            Process::spawn(Command::new("nginx").arg("-c").arg(&file).arg("-e").arg(directory.path().join("log")));
        let this = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            _directory: directory,
        };
        let started = Instant::now();
        while this.client.get(&this.url).send().await.is_err() {
            assert!(started.elapsed() < PATIENCE, "nginx does not listen: {}", this.process.output());
        }
        this
    }

    fn pid(&self) -> u32 {
        self.process.child.id()
    }

    async fn upload(&self, number: usize, bytes: &'static [u8]) {
        let answer = self.client.put(format!("{}/{number}.txt", self.url)).body(bytes).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    async fn download(&self, number: usize) {
        read(&format!("{}/{number}.txt", self.url)).await;
    }
}

async fn read(url: &str) {
    let answer = reqwest::get(url).await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    assert_eq!(answer.bytes().await.expect("a body").len(), FILE_BYTES);
}
