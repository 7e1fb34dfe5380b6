//! Amounts as people write them: `12.50` is 1250 of EUR and nothing of JPY. Exact, never through a float.

use kernel::{Currency, Money};
use ledger::Unit;

/// An amount of minor units with the decimal places of its currency: `12.50`.
pub(super) fn figure(minor: i64, currency: Currency) -> String {
    Unit::from(currency).major(i128::from(minor))
}

/// The same with the currency: `12.50 EUR`.
pub(super) fn told(money: Money) -> String {
    format!("{} {}", figure(money.amount_minor, money.currency), money.currency)
}

/// Reads an amount above zero. A comma is as good as a point; neither separates thousands, because `1.250` would mean two things.
pub(super) fn parse(text: &str, currency: Currency) -> Result<i64, String> {
    let places = currency.exponent() as usize;
    let example = figure(1_250, currency);
    let wrong = || format!("must be above zero and without separators of thousands, such as {example}");
    let (whole, part) = text.trim().split_once(['.', ',']).unwrap_or((text.trim(), ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && part.is_empty() || !is_number(whole) || !is_number(part) || whole.len() + part.len() > 19 {
        return Err(wrong());
    }
    if part.len() > places {
        return Err(match places {
            0 => format!("must be whole: {currency} has no decimal places, such as {example}"),
            _ => format!("must have at most {places} decimal places, such as {example}"),
        });
    }
    let minor: i64 = format!("{whole}{part:0<places$}").parse().map_err(|_| wrong())?;
    if minor < 1 { Err(wrong()) } else { Ok(minor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, currency: &str) -> Result<i64, String> {
        parse(text, Currency::parse(currency).unwrap())
    }

    #[test]
    fn an_amount_is_read_exactly_as_it_is_written() {
        for (text, currency, minor) in [
            ("12.50", "EUR", 1_250),
            ("12,5", "EUR", 1_250),
            (" 12 ", "EUR", 1_200),
            (".5", "EUR", 50),
            ("1250", "JPY", 1_250),
            ("1.250", "KWD", 1_250),
            ("0.1250", "CLF", 1_250),
            ("90071992547409.91", "EUR", 9_007_199_254_740_991),
        ] {
            assert_eq!(read(text, currency), Ok(minor), "{text} {currency}");
            assert_eq!(read(&figure(minor, Currency::parse(currency).unwrap()), currency), Ok(minor));
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for (text, currency) in [
            ("", "EUR"),
            (".", "EUR"),
            ("0", "EUR"),
            ("-1", "EUR"),
            ("1e3", "EUR"),
            ("1.250", "EUR"),
            ("1.250,00", "EUR"),
            ("12.5", "JPY"),
            ("١٢", "EUR"),
            ("12 EUR", "EUR"),
            ("99999999999999999999", "EUR"),
        ] {
            assert!(read(text, currency).is_err(), "{text} {currency}");
        }
    }
}
