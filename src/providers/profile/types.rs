//! A change of a profile: rules, no I/O.

use serde::Deserialize;
use utoipa::ToSchema;

use super::queries::ProfileChange;
use crate::error::Result;
use crate::types::Cents;
use crate::web::fields::{Fields, LONG_TEXT, SHORT_TEXT};
use crate::web::reading::text_or_empty;

/// The maximum number of pictures of a provider.
const MAX_IMAGES: usize = 20;

/// The fields to change, in camelCase or in `snake_case`; fields left out, or null, are not changed. An empty text deletes an
/// optional field.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProviderProfileRequest)]
pub(super) struct ProfileRequest {
    first_name: Option<String>,
    last_name: Option<String>,
    /// A US phone number, in any notation. `phoneNumber` is another name for it.
    phone: Option<String>,
    phone_number: Option<String>,
    business_name: Option<String>,
    #[serde(default, deserialize_with = "text_or_empty")]
    service_type: Option<String>,
    #[serde(default, deserialize_with = "text_or_empty")]
    description: Option<String>,
    #[serde(default, deserialize_with = "text_or_empty")]
    location: Option<String>,
    /// An http or https URL.
    #[serde(default, deserialize_with = "text_or_empty")]
    website_url: Option<String>,
    /// Years.
    experience: Option<i32>,
    #[serde(default, deserialize_with = "text_or_empty")]
    experience_level: Option<String>,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
    /// The ZIP codes served, the primary one first, in place of all there were.
    zip_codes: Option<Vec<String>>,
    /// Another name for `zipCodes`; an empty list changes nothing.
    service_areas: Option<Vec<String>>,
    /// http or https URLs, in place of all there were.
    images: Option<Vec<String>>,
}

/// A required text of the profile.
fn needed(rules: &mut Fields, field: &'static str, given: Option<String>) -> Option<String> {
    given.map(|text| rules.text(field, Some(text), SHORT_TEXT))
}

/// An optional text of the profile: an empty one removes it.
fn optional(rules: &mut Fields, field: &'static str, given: Option<String>, max: usize) -> Option<String> {
    given.map(|text| rules.optional_text(field, Some(text), max).unwrap_or_default())
}

impl ProfileRequest {
    /// Checks the request.
    ///
    /// # Errors
    /// 400 with each bad field named.
    pub(super) fn check(self) -> Result<ProfileChange> {
        let mut rules = Fields::new();
        let rule = &mut rules;
        let phone_number = self.phone_number.map(|number| ("phoneNumber", number));
        let phone = self.phone.map(|number| ("phone", number)).or(phone_number);
        // The form of a provider without services sends an empty list.
        let service_areas = self.service_areas.filter(|areas| !areas.is_empty()).map(|areas| ("serviceAreas", areas));
        let zip_codes = self.zip_codes.map(|zip_codes| ("zipCodes", zip_codes)).or(service_areas);
        let change = ProfileChange {
            first_name: needed(rule, "firstName", self.first_name),
            last_name: needed(rule, "lastName", self.last_name),
            phone_number: phone.map(|(field, number)| rule.us_phone_number(field, Some(&number))),
            business_name: needed(rule, "businessName", self.business_name),
            service_type: optional(rule, "serviceType", self.service_type, SHORT_TEXT),
            description: optional(rule, "description", self.description, LONG_TEXT),
            location: optional(rule, "location", self.location, SHORT_TEXT),
            website_url: web_url(rule, "websiteUrl", self.website_url),
            experience_level: optional(rule, "experienceLevel", self.experience_level, SHORT_TEXT),
            experience_years: self.experience,
            min_price_cents: self.min_price.map(|price| price.0),
            max_price_cents: self.max_price.map(|price| price.0),
            images: images(rule, self.images),
            zip_codes: zip_codes.map(|(field, zip_codes)| rule.zip_codes(field, &zip_codes)),
        };
        let years = change.experience_years;
        rules.check("experience", years.is_none_or(|years| (0..=100).contains(&years)), "must be 0 to 100 years");
        let is_range = self.min_price.zip(self.max_price).is_none_or(|(min, max)| min <= max);
        rules.check("minPrice", is_range, "must not be above the highest price");
        rules.finish()?;
        Ok(change)
    }
}

fn web_url(rules: &mut Fields, field: &'static str, given: Option<String>) -> Option<String> {
    let url = optional(rules, field, given, 2000)?;
    if !url.is_empty() {
        rules.web_url(field, &url);
    }
    Some(url)
}

fn images(rules: &mut Fields, given: Option<Vec<String>>) -> Option<Vec<String>> {
    let images = given?;
    rules.check("images", images.len() <= MAX_IMAGES, "must be at most 20");
    for (index, image) in images.iter().take(MAX_IMAGES).enumerate() {
        rules.web_url(format!("images[{index}]"), image);
    }
    Some(images)
}
