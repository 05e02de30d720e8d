//! pgbench scripts that do what the service does for a request, with the service's own statements.

use testing::queries;

/// A transaction that only reads.
pub fn reading(prepare: &str, statements: &[String]) -> String {
    format!("{prepare}\n{}{}\nrollback;\n", begin("read only"), statements.concat())
}

/// A transaction that writes.
pub fn writing(prepare: &str, statements: &[String]) -> String {
    format!("{prepare}\n{}{}\ncommit;\n", begin(""), statements.concat())
}

/// The statement that contains a phrase, with pgbench's variables or other SQL as its arguments.
pub fn statement(phrase: &str, arguments: &[&str]) -> String {
    let statement = queries::statement(phrase);
    // pgbench would find parameters in comments too.
    let without_comments: Vec<_> =
        statement.lines().map(|line| line.split_once("--").map_or(line, |(before, _)| before)).collect();
    format!("{};\n", queries::with_arguments(&without_comments.join("\n"), arguments))
}

/// BEGIN and the limits of the pooler door, which sends them in one flight.
pub fn begin_statements(mode: &str) -> [String; 4] {
    [
        format!("begin {mode}"),
        "set local statement_timeout = 5000".into(),
        "set local lock_timeout = 2000".into(),
        "set local idle_in_transaction_session_timeout = 10000".into(),
    ]
}

/// A pipeline, because pgbench does not mix the simple and the extended protocol.
fn begin(mode: &str) -> String {
    format!("\\startpipeline\n{};\n\\endpipeline\n", begin_statements(mode).join(";\n"))
}
