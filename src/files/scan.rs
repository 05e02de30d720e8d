//! The search for malware, by clamd (`man clamd`: INSTREAM).

use std::io::SeekFrom;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::received::Part;
use crate::error::{Error, Result, invalid};

/// The longest a file may take to be scanned.
const TIMEOUT: Duration = Duration::from_secs(30);

const CHUNK_BYTES: usize = 64 * 1024;

/// Where clamd listens.
#[derive(Debug, Clone)]
pub(crate) enum Scanner {
    Tcp(String),
    Unix(String),
}

/// What is wrong with a `CLAMD_URL`.
pub(crate) fn scanner_problem(text: &str) -> Option<&'static str> {
    Scanner::parse(text).is_none().then_some("CLAMD_URL must be `tcp://host:3310` or `unix:///run/clamav/clamd.ctl`.")
}

impl Scanner {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(path.to_owned()));
        }
        let address = text.strip_prefix("tcp://")?;
        let (host, port) = address.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| Self::Tcp(address.to_owned()))
    }

    /// Checks that nothing harmful is known about a file.
    ///
    /// # Errors
    /// 400 it is malware. 503 clamd does not say.
    pub(super) async fn check(&self, part: &Part) -> Result<()> {
        let answer = tokio::time::timeout(TIMEOUT, self.ask(part)).await.context("clamd takes too long");
        let answer = answer.and_then(|answer| answer.context("clamd cannot be asked")).map_err(Error::Storage)?;
        match answer.trim_end_matches('\0').trim() {
            "stream: OK" => Ok(()),
            found if found.ends_with(" FOUND") => {
                tracing::warn!(found, "malware was refused");
                Err(invalid(part.field.clone(), &format!("({}) was found to be harmful", part.name)))
            }
            other => Err(Error::Storage(anyhow!("clamd: {other}"))),
        }
    }

    async fn ask(&self, part: &Part) -> anyhow::Result<String> {
        let file = tokio::fs::File::from_std(part.file.try_clone()?);
        match self {
            Self::Tcp(address) => stream(TcpStream::connect(address).await?, file).await,
            Self::Unix(path) => stream(UnixStream::connect(path).await?, file).await,
        }
    }
}

/// Sends a file in chunks, each after its length, and an empty one. Returns the answer.
async fn stream(mut clamd: impl AsyncRead + AsyncWrite + Unpin, mut file: tokio::fs::File) -> anyhow::Result<String> {
    file.seek(SeekFrom::Start(0)).await?;
    clamd.write_all(b"zINSTREAM\0").await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).await?;
        clamd.write_u32(u32::try_from(length)?).await?;
        clamd.write_all(&chunk[..length]).await?;
        if length == 0 {
            break;
        }
    }
    clamd.flush().await?;
    let mut answer = String::new();
    clamd.take(4096).read_to_string(&mut answer).await?;
    Ok(answer)
}
