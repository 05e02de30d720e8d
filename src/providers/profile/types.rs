//! A change of a profile, in camelCase or in `snake_case`: rules, no I/O.

use serde::Deserialize;
use utoipa::ToSchema;

use super::queries::ProfileChange;
use crate::error::Result;
use crate::types::Cents;
use crate::web::fields::{self, Fields, LONG_TEXT, SHORT_TEXT};

/// The maximum number of pictures of a provider.
const MAX_IMAGES: usize = 20;

/// The fields to change; fields left out, or null, are not changed. A blank text deletes an optional field. Of a field
/// that is there in both spellings, the camelCase one counts.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProviderProfileRequest)]
pub(super) struct ProfileRequest {
    #[serde(rename = "firstName")]
    first_name_camel: Option<String>,
    first_name: Option<String>,
    #[serde(rename = "lastName")]
    last_name_camel: Option<String>,
    last_name: Option<String>,
    /// A US phone number, in any notation.
    phone: Option<String>,
    #[serde(rename = "phoneNumber")]
    phone_number_camel: Option<String>,
    phone_number: Option<String>,
    #[serde(rename = "businessName")]
    business_name_camel: Option<String>,
    business_name: Option<String>,
    #[serde(rename = "serviceType")]
    service_type_camel: Option<String>,
    service_type: Option<String>,
    description: Option<String>,
    location: Option<String>,
    /// An http or https URL.
    #[serde(rename = "websiteUrl")]
    website_url_camel: Option<String>,
    website_url: Option<String>,
    /// Years.
    experience: Option<i32>,
    #[serde(rename = "experienceLevel")]
    experience_level_camel: Option<String>,
    experience_level: Option<String>,
    #[serde(rename = "minPrice")]
    min_price_camel: Option<Cents>,
    min_price: Option<Cents>,
    #[serde(rename = "maxPrice")]
    max_price_camel: Option<Cents>,
    max_price: Option<Cents>,
    /// The ZIP codes served, the primary one first, in place of all there were. `serviceAreas` is another name for it.
    #[serde(rename = "zipCodes")]
    zip_codes_camel: Option<Vec<String>>,
    zip_codes: Option<Vec<String>>,
    #[serde(rename = "serviceAreas")]
    service_areas_camel: Option<Vec<String>>,
    service_areas: Option<Vec<String>>,
    /// http or https URLs, in place of all there were.
    images: Option<Vec<String>>,
}

/// The name and value of the first field that is present.
fn first<T, const N: usize>(spellings: [(&'static str, Option<T>); N]) -> Option<(&'static str, T)> {
    spellings.into_iter().find_map(|(field, value)| Some((field, value?)))
}

/// A required text of the profile.
fn needed(rules: &mut Fields, given: Option<(&'static str, String)>) -> Option<String> {
    given.map(|(field, text)| rules.text(field, Some(text), SHORT_TEXT))
}

/// An optional text of the profile: an empty one removes it.
fn optional(rules: &mut Fields, given: Option<(&'static str, String)>, max: usize) -> Option<String> {
    given.map(|(field, text)| rules.optional_text(field, Some(text), max).unwrap_or_default())
}

impl ProfileRequest {
    /// Checks the request. Also returns the name of the price field in it, which may contradict the stored other price.
    pub(super) fn check(self) -> Result<(ProfileChange, &'static str)> {
        let mut rules = Fields::new();
        let rule = &mut rules;
        let first_name = first([("firstName", self.first_name_camel), ("first_name", self.first_name)]);
        let last_name = first([("lastName", self.last_name_camel), ("last_name", self.last_name)]);
        let phone =
            [("phone", self.phone), ("phoneNumber", self.phone_number_camel), ("phone_number", self.phone_number)];
        let business_name = first([("businessName", self.business_name_camel), ("business_name", self.business_name)]);
        let service_type = first([("serviceType", self.service_type_camel), ("service_type", self.service_type)]);
        let level =
            first([("experienceLevel", self.experience_level_camel), ("experience_level", self.experience_level)]);
        let zip_codes = first([
            ("zipCodes", self.zip_codes_camel),
            ("zip_codes", self.zip_codes),
            ("serviceAreas", self.service_areas_camel),
            ("service_areas", self.service_areas),
        ]);
        let website_url = first([("websiteUrl", self.website_url_camel), ("website_url", self.website_url)]);
        let min_price = first([("minPrice", self.min_price_camel), ("min_price", self.min_price)]);
        let max_price = first([("maxPrice", self.max_price_camel), ("max_price", self.max_price)]);

        let change = ProfileChange {
            first_name: needed(rule, first_name),
            last_name: needed(rule, last_name),
            phone_number: phone_number(rule, first(phone)),
            business_name: needed(rule, business_name),
            service_type: optional(rule, service_type, SHORT_TEXT),
            description: optional(rule, self.description.map(|text| ("description", text)), LONG_TEXT),
            location: optional(rule, self.location.map(|text| ("location", text)), SHORT_TEXT),
            website_url: web_url(rule, website_url),
            experience_level: optional(rule, level, SHORT_TEXT),
            experience_years: self.experience,
            min_price_cents: min_price.map(|(_, price)| price.0),
            max_price_cents: max_price.map(|(_, price)| price.0),
            images: images(rule, self.images),
            zip_codes: zip_codes.map(|(field, given)| rule.zip_codes(field, &given)),
        };
        let years = change.experience_years;
        rules.check("experience", years.is_none_or(|years| (0..=100).contains(&years)), "must be 0 to 100 years");
        let is_range = min_price.zip(max_price).is_none_or(|((_, min), (_, max))| min <= max);
        let price_field = min_price.or(max_price).map_or("minPrice", |(field, _)| field);
        rules.check(price_field, is_range, "must not be above the highest price");
        rules.finish()?;
        Ok((change, price_field))
    }
}

fn phone_number(rules: &mut Fields, given: Option<(&'static str, String)>) -> Option<String> {
    let (field, text) = given?;
    let number = fields::us_phone_number(&text);
    rules.check(field, number.is_some(), "must be a US phone number");
    number
}

fn web_url(rules: &mut Fields, given: Option<(&'static str, String)>) -> Option<String> {
    let (field, text) = given?;
    let url = rules.optional_text(field, Some(text), 2000).unwrap_or_default();
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
