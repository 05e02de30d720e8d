//! Money: whole cents in the program and the database, dollars in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::ToSchema;

/// An amount in whole cents. In JSON a number of dollars with at most two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, ToSchema)]
#[schema(value_type = f64, example = 120.5)]
#[sqlx(transparent)]
pub struct Cents(pub i64);

/// The maximum amount of a request: ten million dollars.
const MAX: Cents = Cents(1_000_000_000);

impl Serialize for Cents {
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53 cents")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 {
            serializer.serialize_i64(self.0 / 100)
        } else {
            serializer.serialize_f64(self.0 as f64 / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Cents {
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked against MAX first")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer).map_err(|_| D::Error::custom("expected a number of dollars"))?;
        let cents = dollars * 100.0;
        if !(0.0..=MAX.0 as f64).contains(&cents) {
            return Err(D::Error::custom("expected an amount from 0 to 10000000 dollars"));
        }
        // 1.15 * 100 is 114.99999999999999, so nearly whole cents are rounded.
        if (cents - cents.round()).abs() > 1e-6 {
            return Err(D::Error::custom("expected at most two decimals"));
        }
        Ok(Self(cents.round() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amount_survives_json() {
        for cents in (0..20_000).chain([99_999_999, MAX.0]) {
            let text = serde_json::to_string(&Cents(cents)).unwrap();
            assert_eq!(serde_json::from_str::<Cents>(&text).unwrap(), Cents(cents), "{text}");
        }
        assert_eq!(serde_json::to_string(&Cents(12_000)).unwrap(), "120");
        assert_eq!(serde_json::to_string(&Cents(12_050)).unwrap(), "120.5");
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for text in ["-1", "0.001", "10000000.01", "1e99", "\"5\"", "null"] {
            assert!(serde_json::from_str::<Cents>(text).is_err(), "{text}");
        }
    }
}
