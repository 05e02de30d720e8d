//! `/`: a short page for people who open the server in a browser. Not part of the API.

use axum::Router;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse};
use axum::routing::get;

/// The page has no scripts, styles or images, and loads nothing.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const README: &str = include_str!("../../README.md");

/// Serves the page.
pub(crate) fn routes() -> Router {
    Router::new().route("/", get(home))
}

async fn home() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(page()))
}

fn page() -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>STM Backend</title>
</head>
<body>
<h1>STM Backend</h1>
<p>A marketplace for home services: customers book providers, and they chat about the job.</p>
<ul>
<li><a href="/docs">/docs</a>: the REST API, with a form for every request</li>
<li><a href="/asyncapi.json">/asyncapi.json</a>: the events of the live chat</li>
<li><a href="/health">/health</a>: the state and version of this server</li>
</ul>
<p>The examples need a local server with demo data (<code>make run</code>).</p>
<h2>A first booking</h2>
<pre><code>{booking}</code></pre>
<h2>A first chat message</h2>
<pre><code>{message}</code></pre>
</body>
</html>
"#,
        booking = example("A first booking"),
        message = example("A first chat message"),
    )
}

/// The first code block of a section of the README, escaped for HTML.
fn example(heading: &str) -> String {
    let section = README.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or_default();
    let block = section.split("```").nth(1).unwrap_or_default();
    let code = block.split_once('\n').map_or("", |(_language, code)| code);
    code.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
