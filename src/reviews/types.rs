//! Reviews as values, and how ratings are counted: no I/O.

/// Below this many stars a review must say why, and the provider's LSM is notified.
pub(super) const LOW_RATING: i16 = 3;

/// A review without faults.
#[derive(Debug)]
pub(super) struct Feedback {
    /// 1 to 5.
    pub rating: i16,
    /// In the customer's words.
    pub text: Option<String>,
    /// 1 to 5.
    pub punctuality_rating: Option<i16>,
    /// How long the provider took to answer.
    pub response_time_minutes: Option<i32>,
}

/// The statistics of a provider's reviews.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReviewStats {
    pub stars: StarCounts,
    /// 0 without a rating.
    pub average_punctuality: f64,
    /// In minutes; 0 without a time.
    pub average_response_time: f64,
}

/// The number of reviews by stars, from one to five.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StarCounts(pub [i64; 5]);

impl StarCounts {
    pub(super) fn total(self) -> i64 {
        self.0.iter().sum()
    }

    /// The mean, with two decimals; 0 without reviews.
    pub(super) fn average(self) -> f64 {
        let stars: i64 = (1..).zip(self.0).map(|(stars, count)| stars * count).sum();
        average(stars, self.total())
    }

    /// The percentages by stars, with one decimal; 0 without reviews.
    pub(super) fn percentages(self) -> [f64; 5] {
        let total = self.total();
        self.0.map(|count| ratio(count * 1000, total) / 10.0)
    }
}

/// The mean of so many stars, with two decimals; 0 without reviews.
pub(crate) fn average(stars: i64, reviews: i64) -> f64 {
    ratio(stars * 100, reviews) / 100.0
}

/// A quotient, rounded to a whole number; 0 if there is nothing to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of reviews are far below 2^53")]
fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).round() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_counted() {
        let counts = StarCounts([1, 0, 0, 1, 1]);
        assert_eq!(counts.total(), 3);
        assert_eq!(counts.average().to_string(), "3.33");
        assert_eq!(counts.percentages().map(|part| part.to_string()), ["33.3", "0", "0", "33.3", "33.3"]);
    }

    #[test]
    fn nothing_is_counted_without_reviews() {
        let none = StarCounts::default();
        assert_eq!((none.total(), none.average().to_string()), (0, "0".to_owned()));
        assert_eq!(none.percentages().map(|part| part.to_string()), ["0"; 5]);
    }
}
