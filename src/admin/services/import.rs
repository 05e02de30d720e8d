//! `/admin/services/import`: thousands of services in one request, as JSON or as CSV.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::http::check_questions;
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::auth::Admin;
use crate::catalog::editing::{self, ImportOutcome, ServiceRows};
use crate::error::{Error, FieldError, Result, invalid, violates};
use crate::state::ApiState;
use crate::types::ServiceId;
use crate::web::extract::Json;
use crate::web::fields::{Fields, LONG_TEXT, SHORT_TEXT};
use doors::Pooler;

/// The most services of one import.
const MAX_ROWS: usize = 5000;

/// The largest body of an import, in bytes.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(import)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Services to import.
#[derive(Deserialize, ToSchema)]
struct ImportRequest {
    /// 1 to 5,000.
    services: Vec<ImportRow>,
}

/// A service to import.
#[derive(Deserialize, ToSchema)]
struct ImportRow {
    #[schema(value_type = String)]
    name: Option<String>,
    #[schema(value_type = String)]
    category: Option<String>,
    description: Option<String>,
    /// What customers are asked: a list, or an object. In CSV as JSON, or one question after the other, separated by `|`.
    questions: Option<Value>,
}

impl<S: Send + Sync> FromRequest<S> for ImportRequest {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("text/csv") {
            return <Json<Self> as FromRequest<S>>::from_request(request, state).await.map(|Json(request)| request);
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| rejection.status().into_response())?;
        read_csv(&body).map_err(Error::into_response)
    }
}

/// Reads a CSV file with the headings `name`, `category`, and perhaps `description` and `questions`.
fn read_csv(body: &[u8]) -> Result<ImportRequest> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(body);
    let unreadable = |error: csv::Error| Error::Malformed(format!("the body is not CSV: {error}"));
    let headings = reader.headers().map_err(unreadable)?.clone();
    let column = |name: &str| headings.iter().position(|heading| heading.eq_ignore_ascii_case(name));
    let (Some(name), Some(category)) = (column("name"), column("category")) else {
        let rule = "the first line must hold the headings name and category, and may hold description and questions";
        return Err(Error::Malformed(rule.into()));
    };
    let (description, questions) = (column("description"), column("questions"));
    let mut services = Vec::new();
    for record in reader.records().take(MAX_ROWS + 1) {
        let record = record.map_err(unreadable)?;
        let text = |column: Option<usize>| record.get(column?).filter(|text| !text.is_empty()).map(str::to_owned);
        services.push(ImportRow {
            name: text(Some(name)),
            category: text(Some(category)),
            description: text(description),
            questions: text(questions).map(|text| questions_of(&text)),
        });
    }
    Ok(ImportRequest { services })
}

/// The questions in a cell: JSON, or texts separated by `|`.
fn questions_of(text: &str) -> Value {
    if text.starts_with(['[', '{']) {
        // What is not JSON stays a text, which the rules refuse.
        return serde_json::from_str(text).unwrap_or_else(|_| text.into());
    }
    text.split('|').map(str::trim).filter(|question| !question.is_empty()).collect()
}

/// The result of an import.
#[derive(Serialize, ToSchema)]
struct ImportView {
    created: usize,
    updated: usize,
    unchanged: usize,
    /// Rows that were left out.
    invalid: usize,
    /// One for each row, in their order.
    results: Vec<ImportResultView>,
}

/// The result of one row.
#[derive(Serialize, ToSchema)]
struct ImportResultView {
    /// The row's number, from 1.
    row: usize,
    /// `created`, `updated`, `unchanged`, or `invalid`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<ServiceId>,
    /// What is wrong with an invalid row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// Adds services to the catalogue, and changes those whose name is known, all in one transaction. Rows that break a rule
/// are left out. The same import again changes nothing.
///
/// # Errors
/// 400 the body cannot be read, or has no rows or too many. 413 it is larger than 4 MiB. 415 it is neither JSON nor CSV.
#[utoipa::path(post, path = "/admin/services/import", tag = "admin", security(("admin" = [])),
    request_body(content((ImportRequest = "application/json"), (String = "text/csv"))),
    responses(
        (status = 200, body = ImportView),
        (status = 413, description = "The body is larger than 4 MiB"),
        (status = 415, description = "The body is neither JSON nor CSV"),
    ))]
async fn import(State(pooler): State<Pooler>, who: Admin, request: ImportRequest) -> Result<Json<ImportView>> {
    if !(1..=MAX_ROWS).contains(&request.services.len()) {
        return Err(invalid("services", "must hold 1 to 5000 services"));
    }
    let (rows, places, mut results) = check(request.services);
    let mut tx = pooler.write().await?;
    editing::lock_names(&mut tx).await?;
    let imported = match editing::import(&mut tx, &rows).await {
        Err(error) if violates(&error, "services_name_key") => {
            return Err(Error::Conflict("name_taken", "two of the names are the same".into()));
        }
        imported => imported?,
    };
    for row in imported {
        let place = usize::try_from(row.at - 1).ok().and_then(|at| places.get(at));
        if let Some(result) = place.and_then(|place| results.get_mut(*place)) {
            (result.status, result.id) = (row.outcome.as_str(), Some(row.id));
        }
    }
    let view = ImportView::new(results);
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::ImportServices,
        subject: AdminSubject::Service,
        subject_id: None,
        before: None,
        after: Some(json!({
            "created": view.ids(ImportOutcome::Created), "updated": view.ids(ImportOutcome::Updated),
            "unchanged": view.unchanged, "invalid": view.invalid,
        })),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Checks the rows. Returns the good ones, the place of each among all, and a result for each of all.
fn check(services: Vec<ImportRow>) -> (ServiceRows, Vec<usize>, Vec<ImportResultView>) {
    let (mut rows, mut places, mut results) = (ServiceRows::default(), Vec::new(), Vec::new());
    let mut first_with_name = HashMap::new();
    for (place, service) in services.into_iter().enumerate() {
        let mut rules = Fields::new();
        check_questions(&mut rules, "questions", service.questions.as_ref());
        let name = rules.text("name", service.name, SHORT_TEXT);
        let category = rules.text("category", service.category, SHORT_TEXT);
        let description = rules.optional_text("description", service.description, LONG_TEXT);
        let first = *first_with_name.entry(name.to_lowercase()).or_insert(place);
        if !name.is_empty() && first != place {
            rules.refuse("name", &format!("is the same as in row {}", first + 1));
        }
        let errors = match rules.finish() {
            Err(Error::Invalid(errors)) => errors,
            Ok(()) | Err(_) => Vec::new(),
        };
        if errors.is_empty() {
            rows.names.push(name);
            rows.categories.push(category);
            rows.descriptions.push(description);
            rows.questions.push(service.questions);
            places.push(place);
        }
        results.push(ImportResultView { row: place + 1, status: "invalid", id: None, errors });
    }
    (rows, places, results)
}

impl ImportView {
    fn new(results: Vec<ImportResultView>) -> Self {
        let count = |status| results.iter().filter(|result| result.status == status).count();
        Self {
            created: count(ImportOutcome::Created.as_str()),
            updated: count(ImportOutcome::Updated.as_str()),
            unchanged: count(ImportOutcome::Unchanged.as_str()),
            invalid: count("invalid"),
            results,
        }
    }

    fn ids(&self, outcome: ImportOutcome) -> Vec<ServiceId> {
        self.results.iter().filter(|result| result.status == outcome.as_str()).filter_map(|result| result.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_as_spreadsheets_write_it() {
        let file = "\u{feff}Name,description, category ,questions\r\n\"Deep clean\",\"Rooms, \"\"all\"\"\",Cleaning,How large? | Pets?\r\n\
                    Roof,,Repairs,\"[\"\"Tiles?\"\"]\"\r\n";
        let read = read_csv(file.as_bytes()).unwrap().services;
        assert_eq!(read[0].name.as_deref(), Some("Deep clean"));
        assert_eq!(read[0].description.as_deref(), Some("Rooms, \"all\""));
        assert_eq!(read[0].questions, Some(json!(["How large?", "Pets?"])));
        assert_eq!((read[1].description.as_deref(), &read[1].questions), (None, &Some(json!(["Tiles?"]))));
        for bad in ["", "name,description\nRoof,x\n", "name,category\nRoof\n"] {
            assert!(read_csv(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bad_rows_are_named_and_left_out() {
        let row = |name: &str, category: &str, questions| ImportRow {
            name: Some(name.into()),
            category: Some(category.into()),
            description: None,
            questions,
        };
        let given = vec![
            row("Roof", "Repairs", None),
            row(" ", "Repairs", None),
            row("ROOF", "Repairs", None),
            row("Door", "Repairs", Some(json!("x"))),
            row("Window", "Repairs", None),
        ];
        let (rows, places, results) = check(given);
        assert_eq!((rows.names, places), (vec!["Roof".to_owned(), "Window".to_owned()], vec![0, 4]));
        let fields: Vec<_> = results.iter().flat_map(|result| &result.errors).map(|error| &*error.field).collect();
        assert_eq!(fields, ["name", "name", "questions"]);
        assert_eq!(results[2].errors[0].message, "name is the same as in row 1");
    }
}
