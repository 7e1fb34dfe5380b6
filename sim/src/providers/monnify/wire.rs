//! How Monnify writes amounts and dates: in more than one way.

use serde_json::Value;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::money;

/// The three forms of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateForm {
    /// `17/11/2021 3:48:10 PM`
    Slashes,
    /// `2021-11-17 11:28:42.615`
    Plain,
    /// `2021-11-17T11:28:42.615Z`
    Iso,
}

impl DateForm {
    /// One of the three.
    pub(super) fn of(number: u64) -> Self {
        [Self::Plain, Self::Slashes, Self::Iso][(number % 3) as usize]
    }
}

const SLASHES: StaticFormatDescription =
    format_description!("[day]/[month]/[year] [hour repr:12 padding:none]:[minute]:[second] [period case:upper]");
const PLAIN: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
const ISO: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");
const DAY_SLASHES: StaticFormatDescription = format_description!("[day]/[month]/[year]");

fn at(at_ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time in one of the forms.
pub(super) fn date(at_ms: i64, form: DateForm) -> String {
    let form = match form {
        DateForm::Slashes => SLASHES,
        DateForm::Plain => PLAIN,
        DateForm::Iso => ISO,
    };
    at(at_ms).format(form).unwrap_or_default()
}

/// Reads a bound of a query: milliseconds since 1970, or a day or time in any of the forms.
pub(super) fn read_date(text: &str) -> Option<i64> {
    if let Ok(at_ms) = text.parse::<i64>() {
        return Some(at_ms);
    }
    let days = [DAY, DAY_SLASHES];
    if let Some(day) = days.iter().find_map(|form| Date::parse(text, form).ok()) {
        return Some(day.midnight().assume_utc().unix_timestamp() * 1_000);
    }
    let ms = |time: OffsetDateTime| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok();
    if let Ok(time) = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339) {
        return ms(time);
    }
    let whole: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let times = [PLAIN, SLASHES, whole];
    times.iter().find_map(|form| PrimitiveDateTime::parse(text, form).ok()).and_then(|time| ms(time.assume_utc()))
}

/// An amount as a number where `number` is even and as a text where it is odd. What a number cannot hold exactly is always a text.
pub(super) fn amount(amount_minor: i64, exponent: u32, number: u64) -> Value {
    if number.is_multiple_of(2) { money::number(amount_minor, exponent) } else { Value::String(money::decimal(amount_minor, exponent)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_of_dates_are_those_of_the_published_examples() {
        let ms = 1_637_164_090_615;
        assert_eq!(date(ms, DateForm::Slashes), "17/11/2021 3:48:10 PM");
        assert_eq!(date(ms, DateForm::Plain), "2021-11-17 15:48:10.615");
        assert_eq!(date(ms, DateForm::Iso), "2021-11-17T15:48:10.615Z");
        assert_eq!(date(ms - 15 * 3_600_000, DateForm::Slashes), "17/11/2021 12:48:10 AM");
        for form in [DateForm::Plain, DateForm::Iso] {
            assert_eq!(read_date(&date(ms, form)), Some(ms));
        }
        assert_eq!(read_date(&date(ms, DateForm::Slashes)), Some(ms / 1_000 * 1_000));
        assert_eq!(read_date("2021-11-17"), Some(1_637_107_200_000));
        assert_eq!(read_date("17/11/2021"), Some(1_637_107_200_000));
        assert_eq!(read_date("2021-11-17 15:48:10"), Some(1_637_164_090_000));
        assert_eq!(read_date("1637164090615"), Some(ms));
        assert_eq!(read_date("yesterday"), None);
    }

    #[test]
    fn an_amount_is_exact_as_a_number_and_as_a_text() {
        assert_eq!(amount(300_000, 2, 0).to_string(), "3000");
        assert_eq!(amount(450_050, 2, 2).to_string(), "4500.5");
        assert_eq!(amount(450_050, 2, 1), json!("4500.50"));
        assert_eq!(amount(1_000, 0, 0).to_string(), "1000");
        for exact in [1, 9, 10, 99, 100, 12_345, 999_999_999_999, i64::MAX] {
            for number in 0..2 {
                assert_eq!(money::minor_of(&amount(exact, 2, number), 2), Some(exact));
            }
        }
    }
}
