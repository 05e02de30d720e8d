//! How benches are set, and what they print.

use std::str::FromStr;

/// A setting of the environment, above 0, or its default.
pub fn setting<T: FromStr + Default + PartialOrd>(name: &str, default: T) -> T {
    let Ok(value) = std::env::var(name) else { return default };
    let number = value.parse().ok().filter(|number| *number > T::default());
    number.unwrap_or_else(|| panic!("{name}={value} is not a number above 0"))
}

/// Reports progress, on standard error: standard output is for figures.
pub fn say(what: &str) {
    eprintln!("bench: {what}");
}

/// The number of processors, and how busy they are.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").expect("/proc");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{processors} CPUs, shared by all; load average before the run {load}")
}

/// A line of a table: a value per round.
pub struct Figure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    aim: Option<Aim>,
}

/// A bound that a median should keep.
#[derive(Clone, Copy)]
pub enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    /// The bound, and whether it is met: `<=60    missed`.
    pub fn words(self, median: f64) -> String {
        let (sign, bound, is_met) = match self {
            Self::AtMost(most) => ("<=", most, median <= most),
            Self::AtLeast(least) => (">=", least, median >= least),
        };
        format!("{sign}{bound:<5} {}", if is_met { "met" } else { "missed" })
    }
}

impl Figure {
    pub fn new(name: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self { name: name.into(), unit, values, aim: None }
    }

    /// Aims at a median that is not above a bound.
    #[must_use]
    pub fn at_most(self, most: f64) -> Self {
        Self { aim: Some(Aim::AtMost(most)), ..self }
    }

    /// Aims at a median that is not below a bound.
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        Self { aim: Some(Aim::AtLeast(least)), ..self }
    }

    fn print(&self) {
        let values = sorted(self.values.clone());
        let median = median(values.clone());
        let decimals = decimals(median);
        let digits = |value: f64| format!("{value:.decimals$}");
        let extremes = match values[..] {
            [] | [_] => String::new(),
            [least, .., most] => format!("{} to {}", digits(least), digits(most)),
        };
        let aim = self.aim.map(|aim| aim.words(median)).unwrap_or_default();
        println!("{:<50} {:>8} {:<4} {extremes:<18} {}", self.name, digits(median), self.unit, aim);
    }
}

/// Prints a table: the median of each figure, its extremes, and what was aimed at. A missed aim is no failure.
pub fn print(figures: &[Figure]) {
    println!("\n{:<50} {:>8} {:<4} {:<18} aim", "figure", "median", "", "min to max");
    figures.iter().for_each(Figure::print);
}

/// The decimals that leave three digits.
pub fn decimals(value: f64) -> usize {
    if value < 10.0 { 2 } else { usize::from(value < 100.0) }
}

/// The lower one of two medians.
pub fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    values[(values.len() - 1) / 2]
}

pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
