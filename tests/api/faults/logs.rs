//! Nobody reads what the process prints, or it cannot be printed: it serves all the same.

use std::fs::File;
use std::io::pipe;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use testing::server::environment;
use testing::{Database, PATIENCE, execute, lasting_port};

use crate::support::SERVE;

/// The service as a process whose output goes to places of the test's.
struct Unheard {
    child: Child,
    port: u16,
}

impl Unheard {
    fn spawn(more: &[(String, String)], [stdout, stderr]: [Stdio; 2]) -> Self {
        let port = lasting_port();
        let mut command = Command::new(SERVE);
        command.env_clear().env("HOST", "127.0.0.1").env("PORT", port.to_string());
        command.envs(more.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().expect("the service");
        Self { child, port }
    }

    async fn status(&self, path: &str) -> Option<u16> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port)).await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    async fn until_ready(&self) {
        let started = Instant::now();
        while self.status("/readyz").await != Some(200) {
            assert!(started.elapsed() < PATIENCE, "the service does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn terminate(&mut self) -> ExitStatus {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(asked.success(), "{asked}");
        self.ended()
    }

    fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the service does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _status = self.child.wait();
    }
}

fn closed_pipe() -> Stdio {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").expect("/dev/full").into()
}

/// The process of the service's that listens to changes.
async fn listener(session: &mut PgConnection) -> Option<i32> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
    sqlx::query_scalar(sql).fetch_optional(session).await.expect("pg_stat_activity")
}

/// Every request is answered, the listener comes back after its connection was ended, and SIGTERM drains.
async fn serves(outputs: [Stdio; 2]) {
    let database = Database::create().await;
    let mut service = Unheard::spawn(&environment(&database, &[("RUST_LOG", "trace")]), outputs);
    service.until_ready().await;
    for _ in 0..50 {
        assert_eq!(service.status("/services").await, Some(200));
        assert_eq!(service.status("/no/such/route").await, Some(404));
    }

    let mut session = database.session().await;
    let started = Instant::now();
    let mut first = None;
    loop {
        match (listener(&mut session).await, first) {
            (Some(pid), None) => {
                first = Some(pid);
                execute(&mut session, &format!("select pg_terminate_backend({pid})")).await;
            }
            (Some(pid), Some(first)) if pid != first => break,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        assert!(started.elapsed() < PATIENCE, "nobody listens to changes");
    }
    service.until_ready().await;
    let status = tokio::task::block_in_place(|| service.terminate());
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_of_the_log_has_gone() {
    serves([closed_pipe(), closed_pipe()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_the_log_is_full() {
    serves([full_disk(), full_disk()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_of_the_log_stands_still() {
    let (kept, writer) = pipe().expect("a pipe");
    let stderr = writer.try_clone().expect("a pipe");
    serves([writer.into(), stderr.into()]).await;
    drop(kept);
}

#[test]
fn a_service_that_cannot_start_says_so_by_its_status_too() {
    for output in [closed_pipe, full_disk] {
        let mut service = Unheard::spawn(&[], [output(), output()]);
        assert_eq!(service.ended().code(), Some(1));
    }
}
