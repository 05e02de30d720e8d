//! The service's own statements, out of the committed `.sqlx`.

use std::path::Path;

use serde_json::Value;

/// The one statement that contains a phrase, as the service sends it.
pub fn statement(phrase: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let queries = std::fs::read_dir(folder).expect(".sqlx").filter_map(|entry| {
        let file = std::fs::read_to_string(entry.expect("a file").path()).expect("a query");
        let query: Value = serde_json::from_str(&file).expect("JSON");
        query["query"].as_str().filter(|query| query.contains(phrase)).map(str::to_owned)
    });
    let found: Vec<_> = queries.collect();
    assert_eq!(found.len(), 1, "statements with {phrase:?}");
    found.into_iter().next().expect("one")
}

/// A statement with arguments in place of all its parameters.
pub fn with_arguments(statement: &str, arguments: &[&str]) -> String {
    let mut sql = statement.to_owned();
    for (at, argument) in arguments.iter().enumerate().rev() {
        let parameter = format!("${}", at + 1);
        assert!(sql.contains(&parameter), "no parameter {parameter}: {statement}");
        sql = sql.replace(&parameter, argument);
    }
    assert!(!sql.contains('$'), "more parameters than {}: {statement}", arguments.len());
    sql
}
