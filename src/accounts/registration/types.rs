//! Accounts to be opened.

use secrecy::SecretString;

use crate::types::Role;

/// A checked registration.
pub(super) struct Registration {
    pub email: String,
    /// E.164.
    pub phone_number: String,
    pub password: SecretString,
    pub first_name: String,
    pub last_name: String,
    pub profile: Profile,
}

/// The row of the role. LSMs and admins are not among them: they cannot register themselves.
pub(super) enum Profile {
    Customer(NewCustomer),
    Provider(NewProvider),
}

impl Profile {
    pub(super) const fn role(&self) -> Role {
        match self {
            Self::Customer(_) => Role::Customer,
            Self::Provider(_) => Role::ServiceProvider,
        }
    }
}

/// A user to insert.
#[derive(Debug)]
pub(crate) struct NewUser {
    pub email: String,
    /// E.164.
    pub phone_number: String,
    /// PHC string.
    pub password_hash: String,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
}

/// A customer to insert.
#[derive(Debug)]
pub(super) struct NewCustomer {
    pub address: String,
    /// LSMs are assigned by region.
    pub region: String,
    /// Five digits.
    pub zipcode: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
}

/// A provider to insert.
#[derive(Debug)]
pub(super) struct NewProvider {
    pub business_name: String,
    /// Trade, in the provider's words.
    pub service_type: Option<String>,
    pub experience_years: Option<i32>,
    /// Level of experience, in the provider's words.
    pub experience_level: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    /// ZIP codes served; the first is the primary one.
    pub zip_codes: Vec<String>,
    pub min_price_cents: Option<i64>,
    pub max_price_cents: Option<i64>,
    /// Decides the LSM.
    pub region: String,
    /// Area within the region.
    pub area: Option<String>,
}

/// The years that a level of experience stands for, its lower end: 3 for `3-5 years`.
pub(super) fn years_of(level: &str) -> Option<i32> {
    let level = level.trim();
    if level.to_lowercase().starts_with("less than") {
        return Some(0);
    }
    let digits: String = level.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|years| (0..=100).contains(years))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_experience_has_years() {
        for (level, years) in [
            ("Less than 1 year", Some(0)),
            ("1-2 years", Some(1)),
            ("3-5 years", Some(3)),
            ("6-10 years", Some(6)),
            ("More than 10 years", Some(10)),
            ("expert", None),
            ("since 1999", None),
        ] {
            assert_eq!(years_of(level), years, "{level}");
        }
    }
}
