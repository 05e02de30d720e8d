//! A stand-in for Supabase Auth on loopback: real keys over real HTTP. It can rotate them, stall, fail and lie.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A key of these tests alone.
const RSA: &str = include_str!("../../supabase/rsa.pem");
pub const RSA_PUBLIC: &str = include_str!("../../supabase/rsa-public.pem");

/// The project's legacy secret.
pub const LEGACY_SECRET: &str = "the legacy secret of a project of these tests";

const PUBLISHABLE_KEY: &str = "sb_publishable_of_these_tests";

/// A private key on P-256 without its public half (PKCS #8, RFC 5958), up to its 32 bytes.
const P256_PREFIX: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
];

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Serves,
    /// Accepts connections and says nothing.
    Stalls,
    /// Status 500.
    Fails,
    /// Its keys as a web page.
    WrongType,
    /// Its keys, with a megabyte of space after them.
    IsHuge,
    /// JSON that is no set of keys.
    IsGarbage,
    /// Sends the client to where other keys are.
    Redirects,
}

/// A private key and how its tokens are signed.
#[derive(Clone)]
pub struct SigningKey {
    pub kid: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
}

struct State {
    mode: Mode,
    keys: Vec<SigningKey>,
    users: Vec<Value>,
    jwks_fetches: usize,
}

/// The server. Gone when dropped.
pub struct SupabaseServer {
    url: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for SupabaseServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl SigningKey {
    pub fn es256(kid: &str) -> Self {
        let key = EncodingKey::from_ec_der(&[&P256_PREFIX[..], &rand::random::<[u8; 32]>()[..]].concat());
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, key }
    }

    pub fn rs256(kid: &str) -> Self {
        let base64: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
        let key = EncodingKey::from_rsa_der(&STANDARD.decode(base64).expect("base64"));
        Self { kid: kid.to_owned(), algorithm: Algorithm::RS256, key }
    }

    pub fn hs256(secret: &[u8]) -> Self {
        Self { kid: String::new(), algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
    }

    /// The same key under another name, or under none.
    pub fn named(self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self }
    }

    /// The public half, as it stands in the set.
    pub fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).expect("JSON")
    }

    /// A token with these claims that names this key, unless it has no name.
    pub fn sign(&self, claims: &Value) -> String {
        let kid = (!self.kid.is_empty()).then(|| self.kid.clone());
        jsonwebtoken::encode(&Header { kid, ..Header::new(self.algorithm) }, claims, &self.key).expect("a token")
    }
}

impl SupabaseServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let keys = vec![SigningKey::es256("first"), SigningKey::rs256("rsa")];
        let state = State { mode: Mode::Serves, keys, users: Vec::new(), jwks_fetches: 0 };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                drop(tokio::spawn(async move { answer(stream, &state).await }));
            }
        });
        Self { url, state, accepting }
    }

    /// The settings of a service that trusts this project.
    pub fn settings(&self) -> [(&str, &str); 3] {
        [
            ("SUPABASE_URL", &self.url),
            ("SUPABASE_JWT_SECRET", LEGACY_SECRET),
            ("SUPABASE_PUBLISHABLE_KEY", PUBLISHABLE_KEY),
        ]
    }

    pub fn issuer(&self) -> String {
        format!("{}/auth/v1", self.url)
    }

    pub fn set_mode(&self, mode: Mode) {
        self.lock().mode = mode;
    }

    /// How often the keys were asked for.
    pub fn jwks_fetches(&self) -> usize {
        self.lock().jwks_fetches
    }

    /// The key with this `kid`.
    pub fn key(&self, kid: &str) -> SigningKey {
        self.lock().keys.iter().find(|key| key.kid == kid).expect("a key").clone()
    }

    /// Replaces all keys by a new one.
    pub fn rotate(&self, kid: &str) {
        self.lock().keys = vec![SigningKey::es256(kid)];
    }

    /// The claims of a user's token, valid for ten minutes.
    pub fn claims(&self, user: Uuid, email: &str) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.issuer(), "sub": user, "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 600,
            "email": email, "phone": "", "is_anonymous": false, "aal": "aal1", "session_id": Uuid::now_v7(),
            "amr": [{"method": "password", "timestamp": now}],
            "app_metadata": {"provider": "email", "providers": ["email"]},
            "user_metadata": {"first_name": "Sue", "last_name": "Base", "email": email, "email_verified": true},
        })
    }

    /// A user's token, signed with the first key.
    pub fn token(&self, user: Uuid, email: &str) -> String {
        let key = self.lock().keys[0].clone();
        key.sign(&self.claims(user, email))
    }

    /// Has the project know a user, who has verified the address or not.
    pub fn knows(&self, user: Uuid, email: &str, is_verified: bool) {
        self.lock().users.push(json!({
            "id": user, "aud": "authenticated", "email": email, "email_confirmed_at": Utc::now(),
            "user_metadata": {"email_verified": true},
            "identities": [{"provider": "email", "identity_data": {"email": email, "email_verified": is_verified}}],
        }));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the one request of a connection.
async fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => head.push(line.trim_end().to_owned()),
        }
    }
    let response = respond(&head, state);
    match response {
        Some(response) => drop(stream.write_all(response.as_bytes()).await),
        None => std::future::pending().await,
    }
}

fn respond(head: &[String], state: &Mutex<State>) -> Option<String> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let path = head[0].split(' ').nth(1).unwrap_or_default();
    let is_jwks = path == "/auth/v1/.well-known/jwks.json";
    state.jwks_fetches += usize::from(is_jwks);
    let keys = || json!({"keys": state.keys.iter().map(SigningKey::public).collect::<Vec<_>>()}).to_string();
    let json = "application/json; charset=utf-8";
    match state.mode {
        Mode::Stalls => None,
        Mode::Fails => Some(http("500 Internal Server Error", json, "{}")),
        Mode::Redirects if path == "/elsewhere" => Some(http("200 OK", json, &keys())),
        Mode::Redirects => Some(http("302 Found\r\nLocation: /elsewhere", json, "{}")),
        Mode::WrongType if is_jwks => Some(http("200 OK", "text/html", &keys())),
        Mode::IsHuge if is_jwks => Some(http("200 OK", json, &(keys() + &" ".repeat(1 << 20)))),
        Mode::IsGarbage if is_jwks => Some(http("200 OK", json, r#"{"keys": "none"}"#)),
        _ if is_jwks => Some(http("200 OK", json, &keys())),
        _ if path == "/auth/v1/user" => Some(user(head, &state.users).map_or_else(
            || http("401 Unauthorized", json, r#"{"message": "No API key found in request"}"#),
            |user| http("200 OK", json, &user.to_string()),
        )),
        _ => Some(http("404 Not Found", json, "{}")),
    }
}

/// The user whose token the request carries, beside the project's key.
fn user<'a>(head: &[String], users: &'a [Value]) -> Option<&'a Value> {
    let header = |name: &str| {
        let of = |line: &str| {
            line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
        };
        head.iter().find_map(|line| of(line))
    };
    header("apikey").filter(|key| key == PUBLISHABLE_KEY)?;
    let claims = header("authorization")?.strip_prefix("Bearer ")?.split('.').nth(1)?.to_owned();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    users.iter().find(|user| user["id"] == claims["sub"])
}

fn http(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
