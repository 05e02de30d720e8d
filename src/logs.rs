//! The log, on stdout. It is best effort: the service keeps serving even if stdout and stderr are closed, on a full disk,
//! or a pipe that nobody reads.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How many lines may wait to be written; more are dropped.
const MAX_WAITING_LINES: usize = 4096;

/// How long the end of the process waits for what has not been written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What the log's own thread writes.
enum Entry {
    Line(Vec<u8>),
    LastWords(String),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// The log of this process.
#[derive(Debug, Clone)]
pub struct Log(SyncSender<Entry>);

impl Log {
    /// Starts to log what `RUST_LOG` says (default `info`), panics included; of libraries no more than `info`. A separate
    /// thread writes, so that nothing else ever waits for a pipe.
    #[must_use]
    pub fn start() -> Self {
        let (entries, waiting) = sync_channel(MAX_WAITING_LINES);
        let log = Self(entries);
        // Without the thread nothing is logged, and everything else works.
        let _best_effort = std::thread::Builder::new().name("log".into()).spawn(move || write(&waiting));
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx::postgres::notice=off"));
        let lines = log.clone();
        let started = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_ansi(io::stdout().is_terminal())
            // It would use eprintln!, which panics.
            .log_internal_errors(false)
            .with_writer(move || lines.clone())
            .finish()
            .with(filter_fn(|event| may_be_logged(event.target(), *event.level())))
            .try_init();
        if let Err(error) = started {
            tracing::warn!(%error, "there is another log already");
        }
        // The default hook writes to stderr itself, and so blocks when nobody reads from it.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        log
    }

    /// Writes what is waiting, and after it the reason why the process ends, if there is one, on stderr.
    pub fn finish(self, last_words: Option<String>) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (written, flushed) = sync_channel(1);
        let last_words = last_words.map(Entry::LastWords);
        for mut entry in last_words.into_iter().chain([Entry::Flush(written)]) {
            while let Err(TrySendError::Full(refused)) = self.0.try_send(entry) {
                if Instant::now() >= deadline {
                    return;
                }
                entry = refused;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _late = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// Whether an event may be logged if `RUST_LOG` asks for it. What libraries say of their work below `info` shows the bytes that
/// travel: messages, tokens, passwords.
fn may_be_logged(target: &str, level: Level) -> bool {
    let of = target.split("::").next().unwrap_or(target);
    level <= Level::INFO || matches!(of, "stm_backend" | "serve" | "doors")
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _dropped_if_full = self.0.try_send(Entry::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(entries: &Receiver<Entry>) {
    while let Ok(entry) = entries.recv() {
        let _best_effort = match entry {
            Entry::Line(line) => io::stdout().write_all(&line),
            Entry::LastWords(words) => writeln!(io::stderr(), "{words}"),
            Entry::Flush(written) => {
                let flushed = io::stdout().flush();
                let _gave_up = written.try_send(());
                flushed
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_do_not_show_what_they_carry() {
        for library in
            ["sqlx::query", "hyper::proto::h1", "rustls", "lettre", "engineioxide::peekable", "log", "doorsteps"]
        {
            assert!(!may_be_logged(library, Level::TRACE) && !may_be_logged(library, Level::DEBUG), "{library}");
            assert!(may_be_logged(library, Level::WARN), "{library}");
        }
        assert!(may_be_logged("doors::pooler", Level::TRACE) && may_be_logged("stm_backend", Level::DEBUG));
    }
}
