//! Access tokens (JWT, RFC 7519) and refresh tokens (opaque).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::types::{Role, UserId};

/// The maximum length of a token, in bytes. Longer ones are refused unread.
const MAX_BYTES: usize = 4096;

/// How tokens are signed: always.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// Makes and checks access tokens.
pub struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// The header of every token that is issued, encoded.
    header: String,
    expires_in: Duration,
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: UserId,
    /// The user's e-mail address.
    pub email: String,
    /// The user's role.
    pub role: Role,
    /// Always `access`.
    pub typ: TokenType,
    /// The login it was issued to, a family of refresh tokens (OpenID Connect's `sid`). `None` in tokens that predate
    /// logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
    /// Not before, in seconds since 1970. None is issued with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Whom else it is for. None is issued with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<Value>,
}

/// The purpose of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Calls the API and connects to the chat.
    Access,
}

impl AccessTokens {
    /// Signs tokens with `secret` (HS256).
    #[must_use]
    pub fn new(secret: &SecretString, expires_in: Duration) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let header = serde_json::to_vec(&Header::new(ALGORITHM)).unwrap_or_default();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            header: URL_SAFE_NO_PAD.encode(header),
            expires_in,
        }
    }

    /// Issues a token for a user.
    ///
    /// # Errors
    /// Signing fails.
    pub fn issue(
        &self,
        sub: UserId,
        email: String,
        role: Role,
        sid: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<String> {
        let iat = now.timestamp();
        let exp = iat.saturating_add_unsigned(self.expires_in.as_secs());
        let claims = Claims { sub, email, role, typ: TokenType::Access, sid, iat, exp, nbf: None, aud: None };
        Ok(jsonwebtoken::encode(&Header::new(ALGORITHM), &claims, &self.encoding)?)
    }

    /// The claims of a valid token, `None` for any other.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Claims> {
        self.verify_within(token, Duration::ZERO)
    }

    /// As [`verify`](Self::verify), but a token that names a login is accepted until `grace` after its expiry. The caller
    /// checks that the login lives.
    #[must_use]
    pub fn verify_within(&self, token: &str, grace: Duration) -> Option<Claims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let claims = self.signed_claims(token)?;
        let now = Utc::now().timestamp();
        let grace = if claims.sid.is_some() { grace } else { Duration::ZERO };
        let is_in_time = claims.nbf.is_none_or(|nbf| nbf <= now)
            // Not in the second of its expiry either (RFC 7519, section 4.1.4).
            && claims.exp.saturating_add_unsigned(grace.as_secs()) > now;
        (is_in_time && claims.aud.is_none()).then_some(claims)
    }

    /// The claims of a token that was signed with our secret. The library's `decode` reads headers and claims twice.
    fn signed_claims(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if header != self.header && jsonwebtoken::decode_header(token).ok()?.alg != ALGORITHM {
            return None;
        }
        let is_ours = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.decoding, ALGORITHM).ok()?;
        let claims = is_ours.then(|| URL_SAFE_NO_PAD.decode(claims)).transpose().ok()??;
        serde_json::from_slice(&claims).ok()
    }
}

/// A new refresh token: 256 random bits. Only its digest is stored.
#[must_use]
pub fn new_refresh_token() -> (String, [u8; 32]) {
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let digest = refresh_token_digest(&token);
    (token, digest)
}

/// The digest under which a refresh token is stored.
#[must_use]
pub fn refresh_token_digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The lifetime of refresh tokens.
#[derive(Debug, Clone, Copy)]
pub struct RefreshTokenLifetime(pub chrono::Duration);

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens(secret: &str) -> AccessTokens {
        AccessTokens::new(&SecretString::from(secret), Duration::from_secs(60))
    }

    fn issue(tokens: &AccessTokens, now: DateTime<Utc>) -> String {
        tokens.issue(UserId(7), "ann@example.com".into(), Role::Customer, None, now).unwrap()
    }

    #[test]
    fn a_token_names_its_user() {
        let tokens = tokens(SECRET);
        let claims = tokens.verify(&issue(&tokens, Utc::now())).unwrap();
        assert_eq!((claims.sub, claims.role, claims.exp - claims.iat), (UserId(7), Role::Customer, 60));
    }

    #[test]
    fn only_a_token_with_a_login_has_a_grace() {
        let tokens = tokens(SECRET);
        let an_hour_ago = Utc::now() - chrono::Duration::hours(1);
        let issue = |sid| tokens.issue(UserId(7), "ann@example.com".into(), Role::Customer, sid, an_hour_ago).unwrap();
        let (with_login, without) = (issue(Some(Uuid::now_v7())), issue(None));
        let grace = Duration::from_secs(7200);
        assert!(tokens.verify_within(&with_login, grace).is_some());
        assert!(tokens.verify_within(&without, grace).is_none());
        assert!(tokens.verify_within(&with_login, Duration::from_secs(60)).is_none());
        assert!(tokens.verify(&with_login).is_none());
    }

    #[test]
    fn refuses_what_is_expired_forged_or_of_another_kind() {
        let ours = tokens(SECRET);
        let good = issue(&ours, Utc::now());
        for age_s in [60, 61] {
            assert!(ours.verify(&issue(&ours, Utc::now() - chrono::Duration::seconds(age_s))).is_none());
        }
        assert!(ours.verify(&issue(&tokens("another secret of thirty-two bytes"), Utc::now())).is_none());
        assert!(ours.verify(&good[..good.len() - 2]).is_none());
        assert!(ours.verify("").is_none());
        assert!(ours.verify(&"a.".repeat(5000)).is_none());

        let sign = |header: &Header, claims: serde_json::Value| {
            jsonwebtoken::encode(header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
        };
        let exp = Utc::now().timestamp() + 60;
        let claims = |typ: &str, role: &str, exp: serde_json::Value| serde_json::json!({"sub": 7, "email": "a@b.c", "role": role, "typ": typ, "iat": 0, "exp": exp});
        let hs256 = Header::new(Algorithm::HS256);
        assert!(ours.verify(&sign(&hs256, claims("access", "customer", exp.into()))).is_some());
        assert!(ours.verify(&sign(&hs256, claims("refresh", "customer", exp.into()))).is_none());
        assert!(ours.verify(&sign(&hs256, claims("access", "root", exp.into()))).is_none());
        assert!(ours.verify(&sign(&hs256, claims("access", "customer", serde_json::Value::Null))).is_none());
        assert!(ours.verify(&sign(&Header::new(Algorithm::HS384), claims("access", "customer", exp.into()))).is_none());

        for (name, value) in
            [("aud", "elsewhere".into()), ("aud", serde_json::json!(["a", "b"])), ("nbf", "soon".into())]
        {
            let mut claims = claims("access", "customer", exp.into());
            claims[name] = value;
            assert!(ours.verify(&sign(&hs256, claims)).is_none(), "{name}");
        }
        let mut odd = hs256.clone();
        odd.kid = Some("a header that is not ours".into());
        assert!(ours.verify(&sign(&odd, claims("access", "customer", exp.into()))).is_some());
        let signed = good.rsplit_once('.').unwrap().0;
        let false_header =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#), signed.split_once('.').unwrap().1);
        let signature = jsonwebtoken::crypto::sign(
            false_header.as_bytes(),
            &EncodingKey::from_secret(SECRET.as_bytes()),
            Algorithm::HS256,
        );
        assert!(ours.verify(&format!("{false_header}.{}", signature.unwrap())).is_none(), "its header is false");

        for (nbf_s, is_valid) in [(-1, true), (30, false)] {
            let mut claims = claims("access", "customer", exp.into());
            claims["nbf"] = (Utc::now().timestamp() + nbf_s).into();
            assert_eq!(ours.verify(&sign(&hs256, claims)).is_some(), is_valid, "nbf in {nbf_s} s");
        }

        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), good.split('.').nth(1).unwrap());
        assert!(ours.verify(&unsigned).is_none());
    }
}
