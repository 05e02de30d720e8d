//! Access tokens, forged from the claims that the service reads.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The service's `JWT_SECRET`.
pub const JWT_SECRET: &str = "a secret of the tests, thirty-two bytes";

/// An access token as the service would issue it. `role` is the word that JSON has.
pub fn access_token(user_id: i64, email: &str, role: &str, expires_in: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let (iat, exp) = (now.as_secs(), (now + expires_in).as_secs());
    let claims = json!({"sub": user_id, "email": email, "role": role, "typ": "access", "iat": iat, "exp": exp});
    sign(&claims, JWT_SECRET)
}

/// A token with these claims, signed with `secret` (HS256).
pub fn sign(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}
