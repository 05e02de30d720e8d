//! `/auth/forgot-password` to `/auth/verify-email-otp`.
//!
//! Nothing here shows a stranger whether an account exists: the answers are the same, and none comes earlier than
//! [`auth::FLOOR`] after its request. Requests and tries are counted by the e-mail address as it was written.

use axum::extract::{FromRequestParts, State};
use chrono::Utc;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, CodeRow};
use super::types::{VALID_FOR, new_code};
use crate::auth::{self, Attempts, CodeKey, Origin, Passwords, UserView, no_earlier, password};
use crate::error::{Error, Result};
use crate::limits::{ClientAddress, Policy};
use crate::mail::{self, CodePurpose, Letter};
use crate::state::ApiState;
use crate::web::MessageView;
use crate::web::extract::Json;
use crate::web::fields::Fields;
use doors::{Pooler, Tx};

/// What the requests for codes are counted against, and the tries.
const REQUEST: [Policy; 2] = [Policy::CodeRequestAddress, Policy::CodeRequestAccount];
const TRY: [Policy; 2] = [Policy::CodeCheckAddress, Policy::CodeCheckAccount];

/// What all requests here need, and where they come from.
#[derive(FromRequestParts)]
#[from_request(state(ApiState))]
struct Codes {
    #[from_request(via(State))]
    pooler: Pooler,
    #[from_request(via(State))]
    key: CodeKey,
    #[from_request(via(State))]
    attempts: Attempts,
    address: ClientAddress,
}

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(forgot_password))
        .routes(routes!(resend_password_reset_otp))
        .routes(routes!(verify_password_reset_otp))
        .routes(routes!(reset_password))
        .routes(routes!(send_email_verification_otp))
        .routes(routes!(verify_email_otp))
}

/// An e-mail address.
#[derive(Deserialize, ToSchema)]
struct EmailRequest {
    #[schema(value_type = String)]
    email: Option<String>,
}

/// What was sent, if the account exists.
#[derive(Serialize, ToSchema)]
struct CodeSentView {
    message: &'static str,
    /// The address of the request.
    email: String,
}

/// Sends a code to reset the password, if the account exists. The answer is the same if it does not.
#[utoipa::path(post, path = "/auth/forgot-password", tag = "auth", request_body = EmailRequest,
    responses((status = 200, body = CodeSentView), (status = 400, description = "Not an e-mail address")))]
async fn forgot_password(codes: Codes, Json(request): Json<EmailRequest>) -> Result<Json<CodeSentView>> {
    let email = request.check()?;
    codes.count(&email, &REQUEST).await?;
    no_earlier(codes.send(&email, CodePurpose::PasswordReset)).await?;
    let message = "If an account with this e-mail address exists, a code was sent to it";
    Ok(Json(CodeSentView { message, email }))
}

/// Sends another code to reset the password; it replaces the last one. The tries are not counted anew.
#[utoipa::path(post, path = "/auth/resend-password-reset-otp", tag = "auth", request_body = EmailRequest,
    responses((status = 200, body = CodeSentView), (status = 400, description = "Not an e-mail address")))]
async fn resend_password_reset_otp(codes: Codes, request: Json<EmailRequest>) -> Result<Json<CodeSentView>> {
    forgot_password(codes, request).await
}

/// Sends a code to confirm the e-mail address, if the account exists and has not confirmed it.
#[utoipa::path(post, path = "/auth/send-email-verification-otp", tag = "auth", request_body = EmailRequest,
    responses((status = 200, body = MessageView), (status = 400, description = "Not an e-mail address")))]
async fn send_email_verification_otp(codes: Codes, Json(request): Json<EmailRequest>) -> Result<Json<MessageView>> {
    let email = request.check()?;
    codes.count(&email, &REQUEST).await?;
    no_earlier(codes.send(&email, CodePurpose::EmailVerification)).await?;
    Ok(Json(MessageView::new("If this e-mail address waits for its confirmation, a code was sent to it")))
}

/// An e-mail address and the code that was sent there.
#[derive(Deserialize, ToSchema)]
struct CodeRequest {
    #[schema(value_type = String)]
    email: Option<String>,
    /// Six digits.
    #[schema(value_type = String)]
    otp: Option<String>,
}

/// The code is right.
#[derive(Serialize, ToSchema)]
struct VerifiedView {
    message: &'static str,
    /// Always true.
    verified: bool,
}

/// Checks a code to reset the password, which stays valid for the reset.
///
/// # Errors
/// 400 the code is wrong, has expired, or was tried too often.
#[utoipa::path(post, path = "/auth/verify-password-reset-otp", tag = "auth", request_body = CodeRequest,
    responses((status = 200, body = VerifiedView), (status = 400, description = "Wrong or expired")))]
async fn verify_password_reset_otp(codes: Codes, Json(request): Json<CodeRequest>) -> Result<Json<VerifiedView>> {
    let (email, code) = request.check()?;
    codes.count(&email, &TRY).await?;
    no_earlier(async {
        let (tx, _user) = codes.check(&email, CodePurpose::PasswordReset, &code).await?;
        Ok(tx.commit().await?)
    })
    .await?;
    Ok(Json(VerifiedView { message: "The code is right", verified: true }))
}

/// Confirms an e-mail address.
///
/// # Errors
/// 400 the code is wrong, has expired, or was tried too often.
#[utoipa::path(post, path = "/auth/verify-email-otp", tag = "auth", request_body = CodeRequest,
    responses((status = 200, body = VerifiedView), (status = 400, description = "Wrong or expired")))]
async fn verify_email_otp(codes: Codes, Json(request): Json<CodeRequest>) -> Result<Json<VerifiedView>> {
    let (email, code) = request.check()?;
    codes.count(&email, &TRY).await?;
    no_earlier(async {
        let (mut tx, user) = codes.check(&email, CodePurpose::EmailVerification, &code).await?;
        queries::set_verified(&mut tx, user.id, Utc::now()).await?;
        queries::delete(&mut tx, user.id, CodePurpose::EmailVerification).await?;
        Ok(tx.commit().await?)
    })
    .await?;
    Ok(Json(VerifiedView { message: "The e-mail address is confirmed", verified: true }))
}

/// A new password, by a code.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResetRequest {
    #[schema(value_type = String)]
    email: Option<String>,
    /// Six digits.
    #[schema(value_type = String)]
    otp: Option<String>,
    /// At least 8 characters.
    #[schema(value_type = String)]
    new_password: Option<SecretString>,
}

/// The password is set.
#[derive(Serialize, ToSchema)]
struct ResetView {
    message: &'static str,
    user: UserView,
}

/// Sets a new password, ends every login of the user, and closes the sockets.
///
/// # Errors
/// 400 the code is wrong, has expired, or was tried too often; the password is too short.
#[utoipa::path(post, path = "/auth/reset-password", tag = "auth", request_body = ResetRequest,
    responses((status = 200, body = ResetView), (status = 400, description = "Wrong or expired code, bad password")))]
async fn reset_password(
    State(passwords): State<Passwords>,
    codes: Codes,
    Json(request): Json<ResetRequest>,
) -> Result<Json<ResetView>> {
    let ResetRequest { email, otp, new_password } = request;
    let mut rules = Fields::new();
    let new_password = new_password.unwrap_or_default();
    rules.check("newPassword", password::acceptable_length(&new_password), password::RULE);
    let (email, code) = CodeRequest { email, otp }.read(&mut rules);
    rules.finish()?;
    codes.count(&email, &TRY).await?;
    let user = no_earlier(async {
        // First, so that the work is the same for a right and a wrong code.
        let hash = passwords.hash(new_password).await?;
        let (mut tx, user) = codes.check(&email, CodePurpose::PasswordReset, &code).await?;
        let now = Utc::now();
        queries::set_password(&mut tx, user.id, &hash, now).await?;
        queries::delete(&mut tx, user.id, CodePurpose::PasswordReset).await?;
        auth::queries::set_all_revoked(&mut tx, user.id, now).await?;
        mail::queue(&mut tx, user.id, &user.email, &Letter::PasswordChanged, None).await?;
        tx.commit().await?;
        Ok(user)
    })
    .await?;
    Ok(Json(ResetView { message: "The password was changed: log in with the new one", user }))
}

impl Codes {
    /// Counts a request, whether the account exists or not.
    async fn count(&self, email: &str, policies: &[Policy]) -> Result<()> {
        let origin = Origin { email, address: self.address };
        self.attempts.count(&self.pooler, origin, policies, Utc::now()).await
    }

    /// Stores a new code and queues its e-mail, for an account that may have one.
    async fn send(&self, email: &str, purpose: CodePurpose) -> Result<()> {
        let (code, now) = (new_code()?, Utc::now());
        let mut tx = self.pooler.write().await?;
        if let Some(user) = queries::find_addressee(&mut tx, email, purpose).await? {
            let (digest, expires_at) = (self.key.digest(user.id, purpose.as_str(), &code), now + VALID_FOR);
            if queries::replace(&mut tx, user.id, purpose, &digest, expires_at, now).await? {
                mail::queue(&mut tx, user.id, &user.email, &Letter::Code { purpose, code }, Some(expires_at)).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Checks a code. If it is right, returns the user and the transaction that has it locked; a wrong try is counted.
    async fn check(&self, email: &str, purpose: CodePurpose, code: &str) -> Result<(Tx<Pooler>, UserView)> {
        let mut tx = self.pooler.write().await?;
        let row = queries::lock(&mut tx, email, purpose, Utc::now()).await?;
        if let Some(CodeRow { digest, user }) = row {
            if self.key.matches(user.id, purpose.as_str(), code, &digest) {
                return Ok((tx, user));
            }
            queries::count_try(&mut tx, user.id, purpose).await?;
        }
        tx.commit().await?;
        Err(Error::Refused("wrong_code", "the code is wrong or has expired: ask for a new one".into()))
    }
}

impl EmailRequest {
    fn check(self) -> Result<String> {
        let mut rules = Fields::new();
        let email = rules.email("email", self.email.as_deref());
        rules.finish()?;
        Ok(email)
    }
}

impl CodeRequest {
    fn check(self) -> Result<(String, String)> {
        let mut rules = Fields::new();
        let read = self.read(&mut rules);
        rules.finish()?;
        Ok(read)
    }

    fn read(self, rules: &mut Fields) -> (String, String) {
        let email = rules.email("email", self.email.as_deref());
        let code = self.otp.unwrap_or_default().trim().to_owned();
        rules.check("otp", code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "must be six digits");
        (email, code)
    }
}
