//! clamd: a stand-in that speaks its protocol (`man clamd`: INSTREAM), and the real one where it is installed.

use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use testing::PATIENCE;
use testing::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What every scanner finds, by agreement (eicar.org). In two parts, so that no scanner finds this file.
pub const EICAR: &str = concat!(r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*");

/// The signature of [`EICAR`] in clamd's format: MD5, length, name.
const SIGNATURE: &str = "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-Signature\n";

pub struct StandIn {
    pub url: String,
    task: JoinHandle<()>,
}

impl StandIn {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("tcp://{}", listener.local_addr().expect("an address"));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(scan(stream));
            }
        });
        Self { url, task }
    }

    /// Listens no more.
    pub async fn stop(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}

async fn scan(mut stream: TcpStream) -> std::io::Result<()> {
    let mut command = [0; 10];
    stream.read_exact(&mut command).await?;
    assert_eq!(&command, b"zINSTREAM\0");
    let mut content = Vec::new();
    while let length @ 1.. = stream.read_u32().await? {
        let mut chunk = vec![0; usize::try_from(length).expect("a length")];
        stream.read_exact(&mut chunk).await?;
        content.extend(chunk);
    }
    let is_infected = content.windows(EICAR.len()).any(|window| window == EICAR.as_bytes());
    let answer: &[u8] = if is_infected { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" };
    stream.write_all(answer).await
}

/// The real clamd, which knows one signature.
pub struct Clamd {
    pub url: String,
    _process: Process,
    _directory: TempDir,
}

impl Clamd {
    /// Returns `None` if it is not installed.
    pub async fn start() -> Option<Self> {
        let program = ["/usr/sbin/clamd", "/usr/local/sbin/clamd"]
            .into_iter()
            .find(|path| std::fs::exists(path).is_ok_and(|is| is))?;
        let directory = TempDir::new().expect("a directory");
        let (socket, settings) = (directory.path().join("clamd"), directory.path().join("settings"));
        std::fs::write(directory.path().join("eicar.hdb"), SIGNATURE).expect("a signature");
        let path = directory.path().display();
        let text = format!("Foreground yes\nDatabaseDirectory {path}\nLocalSocket {}\n", socket.display());
        std::fs::write(&settings, text).expect("settings");
        let mut process = Process::spawn(Command::new(program).arg("--config-file").arg(&settings));
        let started = Instant::now();
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            assert!(process.has_ended().is_none() && started.elapsed() < PATIENCE, "clamd: {}", process.output());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Some(Self { url: format!("unix://{}", socket.display()), _process: process, _directory: directory })
    }
}
