//! `POST /auth/register`.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::types::{NewCustomer, NewProvider, NewUser, Profile, Registration, years_of};
use crate::auth::{Logins, Passwords, SessionView, UserView, password};
use crate::error::{Error, Result, invalid, violates};
use crate::limits::{Limits, Policy};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::service_requests;
use crate::state::ApiState;
use crate::types::{Cents, UserId};
use crate::web::extract::Json;
use crate::web::fields::{Fields, LONG_TEXT, SHORT_TEXT};
use doors::{Pooler, Tx};

/// The rule of the field `role`.
const ROLE_RULE: &str = "must be customer or service_provider";

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(register))
}

/// A new customer or provider.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RegisterRequest {
    #[schema(value_type = String)]
    email: Option<String>,
    /// A US phone number, in any notation.
    #[schema(value_type = String)]
    phone_number: Option<String>,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: Option<SecretString>,
    #[schema(value_type = String)]
    first_name: Option<String>,
    #[schema(value_type = String)]
    last_name: Option<String>,
    /// `customer` or `service_provider` (also `CUSTOMER`, `PROVIDER`).
    #[schema(value_type = String)]
    role: Option<String>,
    /// Customers: street address.
    address: Option<String>,
    /// The region, by which LSMs are assigned. Providers may send `state` instead.
    region: Option<String>,
    zipcode: Option<String>,
    city: Option<String>,
    state: Option<String>,
    /// Providers: name of the business.
    business_name: Option<String>,
    service_type: Option<String>,
    /// Years.
    experience: Option<i32>,
    experience_level: Option<String>,
    description: Option<String>,
    location: Option<String>,
    website_url: Option<String>,
    /// Providers: the ZIP codes served, the primary one first.
    zip_codes: Option<Vec<String>>,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
    area: Option<String>,
    /// Providers: must be true.
    accepted_terms: Option<bool>,
}

/// Registers a customer, or a provider who then waits for the region's LSM.
///
/// # Errors
/// 400 a field breaks a rule, or no active LSM serves the provider's region. 409 the e-mail address is taken.
#[utoipa::path(post, path = "/auth/register", tag = "auth", request_body = RegisterRequest,
    responses(
        (status = 201, body = SessionView),
        (status = 400, description = "A field breaks a rule, or no active LSM serves the region"),
        (status = 409, description = "The e-mail address is taken"),
    ))]
async fn register(
    State(pooler): State<Pooler>,
    State(passwords): State<Passwords>,
    State(notifier): State<Notifier>,
    State(limits): State<Limits>,
    logins: Logins,
    Json(request): Json<RegisterRequest>,
) -> Result<(StatusCode, Json<SessionView>)> {
    let registration = request.check()?;
    limits.count(Policy::RegisterAccount, &registration.email)?;
    let now = Utc::now();
    let user = NewUser {
        email: registration.email,
        phone_number: registration.phone_number,
        password_hash: passwords.hash(registration.password).await?,
        first_name: registration.first_name,
        last_name: registration.last_name,
        role: registration.profile.role(),
    };

    let mut tx = pooler.write().await?;
    let id = match queries::insert_user(&mut tx, &user).await {
        Err(error) if violates(&error, "users_email_key") => {
            return Err(Error::Conflict("email_taken", "an account with this e-mail address exists already".into()));
        }
        inserted => inserted?,
    };
    let outbox = insert_profile(&mut tx, id, registration.profile, now).await?;
    let user =
        UserView { id, email: user.email, first_name: user.first_name, last_name: user.last_name, role: user.role };
    let session = logins.open(&mut tx, user, now).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok((StatusCode::CREATED, Json(session)))
}

/// Inserts the row of the role. Returns what is announced.
async fn insert_profile(tx: &mut Tx<Pooler>, id: UserId, profile: Profile, now: DateTime<Utc>) -> Result<Outbox> {
    let mut outbox = Outbox::default();
    match profile {
        Profile::Customer(customer) => queries::insert_customer(tx, id, &customer).await?,
        Profile::Provider(provider) => {
            let waiting = insert_provider(tx, id, &provider, now).await?;
            outbox.notify(tx, [waiting]).await?;
            if let Some(service) = &provider.service_type
                && !queries::insert_offer(tx, id, service).await?
            {
                let requested = service_requests::request_of_new_provider(tx, id, service).await?;
                outbox.notify(tx, requested).await?;
            }
        }
    }
    Ok(outbox)
}

/// Inserts a provider under its region's LSM. Returns the notification for the LSM.
async fn insert_provider(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    provider: &NewProvider,
    now: DateTime<Utc>,
) -> Result<NewNotification> {
    let (region, area) = (&provider.region, provider.area.as_deref());
    let lsm = match queries::lock_lsm(tx, region, area).await? {
        Some(lsm) => Some(lsm),
        None => queries::lock_lsm(tx, region, area).await?,
    };
    let lsm = lsm.ok_or_else(|| {
        Error::Refused("no_lsm_in_region", format!("no active LSM serves the region {}", provider.region))
    })?;
    queries::insert_provider(tx, user_id, lsm.id, provider, now).await?;
    Ok(NewNotification {
        recipient_id: lsm.user_id,
        kind: NotificationType::System,
        title: "New provider".into(),
        message: format!("{} has registered and is waiting for your approval", provider.business_name),
        metadata: serde_json::json!({"providerUserId": user_id}),
    })
}

impl RegisterRequest {
    fn check(mut self) -> Result<Registration> {
        let mut rules = Fields::new();
        let email = rules.email("email", self.email.as_deref());
        let phone_number = rules.us_phone_number("phoneNumber", self.phone_number.as_deref());
        let password = self.password.take().unwrap_or_default();
        rules.check("password", password::acceptable_length(&password), password::RULE);
        let first_name = rules.text("firstName", self.first_name.take(), SHORT_TEXT);
        let last_name = rules.text("lastName", self.last_name.take(), SHORT_TEXT);
        let profile = match self.role.as_deref() {
            Some("customer" | "CUSTOMER") => Some(Profile::Customer(self.customer(&mut rules))),
            Some("service_provider" | "PROVIDER") => Some(Profile::Provider(self.provider(&mut rules))),
            _ => {
                rules.text("region", self.region.take().or(self.state.take()), SHORT_TEXT);
                None
            }
        };
        rules.check("role", profile.is_some(), ROLE_RULE);
        rules.finish()?;
        let profile = profile.ok_or_else(|| invalid("role", ROLE_RULE))?;
        Ok(Registration { email, phone_number, password, first_name, last_name, profile })
    }

    fn customer(self, rules: &mut Fields) -> NewCustomer {
        NewCustomer {
            address: rules.text("address", self.address, SHORT_TEXT),
            region: rules.text("region", self.region, SHORT_TEXT),
            zipcode: self.zipcode.filter(|zip| !zip.trim().is_empty()).map(|zip| rules.zip_code("zipcode", Some(&zip))),
            city: rules.optional_text("city", self.city, SHORT_TEXT),
            state: rules.optional_text("state", self.state, SHORT_TEXT),
        }
    }

    fn provider(mut self, rules: &mut Fields) -> NewProvider {
        // The web client's form sends the state instead.
        let region = self.region.take().filter(|region| !region.trim().is_empty()).or_else(|| self.state.take());
        let region = rules.text("region", region, SHORT_TEXT);
        let website_url = rules.optional_text("websiteUrl", self.website_url, 2000);
        if let Some(website_url) = &website_url {
            rules.web_url("websiteUrl", website_url);
        }
        rules.check("acceptedTerms", self.accepted_terms == Some(true), "must be true");
        let is_experience = self.experience.is_none_or(|years| (0..=100).contains(&years));
        rules.check("experience", is_experience, "must be 0 to 100 years");
        let is_range = self.min_price.zip(self.max_price).is_none_or(|(min, max)| min <= max);
        rules.check("minPrice", is_range, "must not be above maxPrice");
        let experience_level = rules.optional_text("experienceLevel", self.experience_level, SHORT_TEXT);
        NewProvider {
            business_name: rules.text("businessName", self.business_name, SHORT_TEXT),
            service_type: rules.optional_text("serviceType", self.service_type, SHORT_TEXT),
            experience_years: self.experience.or_else(|| experience_level.as_deref().and_then(years_of)),
            experience_level,
            description: rules.optional_text("description", self.description, LONG_TEXT),
            location: rules.optional_text("location", self.location.or(self.city), SHORT_TEXT),
            website_url,
            zip_codes: rules.zip_codes("zipCodes", &self.zip_codes.unwrap_or_default()),
            min_price_cents: self.min_price.map(|price| price.0),
            max_price_cents: self.max_price.map(|price| price.0),
            region,
            area: rules.optional_text("area", self.area, SHORT_TEXT),
        }
    }
}
