//! pgbench scripts that do what the service does for a request, with the service's own statements.

use testing::queries;

/// A single read: as the pooler door sends it, without a transaction around it.
pub fn reading(prepare: &str, statement: &str) -> String {
    format!("{prepare}\n{statement}")
}

/// A transaction of one statement. The role has the door's time limits, so none are set.
pub fn writing(prepare: &str, statement: &str) -> String {
    format!("{prepare}\nbegin;\n{statement}commit;\n")
}

/// The statement that contains a phrase, with pgbench's variables or other SQL as its arguments.
pub fn statement(phrase: &str, arguments: &[&str]) -> String {
    let statement = queries::statement(phrase);
    // pgbench would also look for parameters in comments.
    let without_comments: Vec<_> =
        statement.lines().map(|line| line.split_once("--").map_or(line, |(before, _)| before)).collect();
    format!("{};\n", queries::with_arguments(&without_comments.join("\n"), arguments))
}
