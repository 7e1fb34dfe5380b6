//! Declared forms: numbers that prove by themselves to be something else than a card number. Pure.

use super::issuers::is_card;

/// What a field holds besides free text. Only a value that is of this form as a whole is exempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// A GTIN of 8, 12, 13 or 14 digits with its check digit (GS1 General Specifications, section 7.9). One card number of 14
    /// digits in ten would pass as one.
    Gtin,
    /// One telephone number, international with `+` or `00` or national with its `0`, in whatever groups. No country has
    /// numbers with the length and the first digits of cards, so what would be a card number as a whole is none.
    Phone,
    /// An IBAN with its check digits (ISO 13616), with or without spaces.
    Iban,
}

impl Declared {
    /// Whether the whole value is of this form, so that it may stand where the form is declared.
    pub fn is_proved_by(self, value: &[u8]) -> bool {
        match self {
            Self::Gtin => is_gtin(value),
            Self::Phone => is_phone(value),
            Self::Iban => is_iban(value),
        }
    }
}

fn is_gtin(value: &[u8]) -> bool {
    if !matches!(value.len(), 8 | 12 | 13 | 14) || !value.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weighted = value.iter().rev().enumerate().map(|(place, digit)| u32::from(digit - b'0') * if place % 2 == 1 { 3 } else { 1 });
    weighted.sum::<u32>().is_multiple_of(10)
}

fn is_phone(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let (is_international, rest) = match (value.strip_prefix(b"+"), value.strip_prefix(b"00")) {
        (Some(rest), _) | (None, Some(rest)) => (true, rest),
        (None, None) => (false, value),
    };
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')');
    let digits: Vec<u8> = rest.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect();
    let is_begun = is_international || digits.first() == Some(&0);
    is_begun && rest.iter().all(is_part) && (5..=15).contains(&digits.len()) && !is_card(&digits)
}

fn is_iban(value: &[u8]) -> bool {
    let plain: Vec<u8> = value.iter().filter(|byte| **byte != b' ').copied().collect();
    let is_shaped = (15..=34).contains(&plain.len())
        && plain[..2].iter().all(u8::is_ascii_uppercase)
        && plain[2..4].iter().all(u8::is_ascii_digit)
        && plain.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let rest = |value: u32, byte: &u8| match byte {
        b'0'..=b'9' => (value * 10 + u32::from(byte - b'0')) % 97,
        letter => (value * 100 + u32::from(letter - b'A') + 10) % 97,
    };
    is_shaped && plain[4..].iter().chain(&plain[..4]).fold(0, rest) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_proved_only_by_a_whole_value_of_it() {
        for (form, good) in [
            (Declared::Gtin, "73513537"),
            (Declared::Gtin, "036000291452"),
            (Declared::Gtin, "4006381333931"),
            (Declared::Gtin, "10614141000415"),
            (Declared::Phone, "+234 803 123 4567"),
            (Declared::Phone, "0049 (3641) 1234-5678"),
            (Declared::Phone, "0803 123 4567"),
            (Declared::Iban, "DE89 3704 0044 0532 0130 00"),
            (Declared::Iban, "GB29NWBK60161331926819"),
        ] {
            assert!(form.is_proved_by(good.as_bytes()), "{good}");
        }
        for (form, bad) in [
            (Declared::Gtin, "4242424242424242"),
            (Declared::Gtin, "4006381333931 4242424242424242"),
            (Declared::Gtin, "4006381333932"),
            (Declared::Phone, "4242 4242 4242 4242"),
            (Declared::Phone, "+4242 4242 4242 4242"),
            (Declared::Phone, "+378282246310005"),
            (Declared::Phone, "378282246310005"),
            (Declared::Phone, "0803 123 4567, card 4242424242424242"),
            (Declared::Iban, "DE89 4242 4242 4242 4242 00"),
        ] {
            assert!(!form.is_proved_by(bad.as_bytes()), "{bad}");
        }
    }
}
