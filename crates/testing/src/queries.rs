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

/// A function of the migrations that is one reading statement.
#[derive(Debug)]
pub struct Function {
    /// The types of its parameters.
    pub types: Vec<String>,
    /// The statement, with `$1`, `$2`… for the parameters.
    pub sql: String,
}

/// The function of this name.
pub fn function(name: &str) -> Function {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let head = format!("create function stm.{name}(");
    let files = std::fs::read_dir(folder).expect("migrations").map(|entry| entry.expect("a file").path());
    let found: Vec<_> = files
        .filter_map(|file| {
            std::fs::read_to_string(file).expect("SQL").split_once(&head).map(|(_, rest)| rest.to_owned())
        })
        .collect();
    assert_eq!(found.len(), 1, "functions {name:?}");
    let (parameters, rest) = found[0].split_once(")\nreturns").expect("a list of parameters");
    let (_, rest) = rest.split_once("return query\n").expect("a statement");
    let (body, _) = rest.split_once(";\nend;").expect("an end");
    let mut function = Function { types: Vec::new(), sql: body.to_owned() };
    for (at, parameter) in parameters.split(',').enumerate() {
        let (name, kind) = parameter.trim().split_once(' ').expect("a name and a type");
        function.types.push(kind.to_owned());
        function.sql = with_word_replaced(&function.sql, name, &format!("${}", at + 1));
    }
    function
}

fn with_word_replaced(text: &str, word: &str, by: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut parts = text.split(word);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced.push_str(if part.starts_with(is_part) { word } else { by });
        replaced.push_str(part);
    }
    replaced
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
