//! Child processes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A child process whose output is collected. Killed when dropped.
pub struct Process {
    pub child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            collect(child.stdout.take().expect("stdout"), &output),
            collect(child.stderr.take().expect("stderr"), &output),
        ];
        Self { child, output, readers }
    }

    pub fn output(&self) -> String {
        self.output.lock().expect("output").clone()
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait")
    }

    /// Waits for the process to end by itself. Returns its status and all that it printed.
    pub fn wait(&mut self, patience: Duration) -> (ExitStatus, String) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                self.readers.drain(..).for_each(|reader| reader.join().expect("a reader"));
                return (status, self.output());
            }
            assert!(started.elapsed() < patience, "the process does not end: {}", self.output());
            nap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- process {} printed:\n{}", self.child.id(), self.output());
        }
    }
}

fn collect(from: impl std::io::Read + Send + 'static, into: &Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    let into = into.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut output = into.lock().expect("output");
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// Waits for a moment.
pub fn nap() {
    std::thread::sleep(Duration::from_millis(10));
}
