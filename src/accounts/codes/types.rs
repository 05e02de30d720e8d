//! Codes.

use anyhow::Context as _;
use rand::TryRng as _;

/// How long a code is valid.
pub(super) const VALID_FOR: chrono::Duration = chrono::Duration::minutes(10);

/// A new code: six digits, from the operating system's random numbers.
pub(super) fn new_code() -> anyhow::Result<String> {
    // 64 bits, so that the remainder favours no code by more than one in 10^13.
    let number = rand::rngs::SysRng.try_next_u64().context("random numbers of the operating system")?;
    Ok(format!("{:06}", number % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_six_digits() {
        for _ in 0..100 {
            let code = new_code().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        }
    }
}
