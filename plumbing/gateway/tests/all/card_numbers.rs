//! Card numbers are found in every form they are written in, and nothing else is taken for one.

use std::fmt::Write;

use gateway::card_numbers::{Declared, REMOVED, find, redact, redact_body};

use super::published_cards::published;

const MILLION: usize = 1_000_000;

/// Splitmix64: fast, and the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn id(&mut self) -> u128 {
        u128::from(self.roll()) << 64 | u128::from(self.roll())
    }
}

/// How many of a million texts hold what looks like a card number.
fn alarms(mut write: impl FnMut(&mut Dice, &mut String), is_exempt: impl Fn(&str) -> bool) -> usize {
    let (mut dice, mut text) = (Dice(7), String::new());
    (0..MILLION)
        .filter(|_| {
            text.clear();
            write(&mut dice, &mut text);
            find(&text).is_some() && !is_exempt(&text)
        })
        .count()
}

fn never(_: &str) -> bool {
    false
}

fn grouped(number: &str, between: &str) -> String {
    let sizes: &[usize] = match number.len() {
        14 => &[4, 6, 4],
        15 => &[4, 6, 5],
        _ => &[4, 4, 4, 4, 4],
    };
    let (mut rest, mut groups) = (number, Vec::new());
    for size in sizes {
        let (group, after) = rest.split_at((*size).min(rest.len()));
        groups.push(group);
        rest = after;
    }
    groups.retain(|group| !group.is_empty());
    groups.join(between)
}

/// A GTIN with its check digit.
fn gtin(dice: &mut Dice, digits: u32, out: &mut String) {
    let number = dice.below(10_u64.pow(digits - 1));
    let (mut sum, mut rest) = (0, number);
    for place in 0..digits - 1 {
        sum += rest % 10 * if place % 2 == 0 { 3 } else { 1 };
        rest /= 10;
    }
    let _ = write!(out, "{number:0width$}{}", (10 - sum % 10) % 10, width = digits as usize - 1);
}

/// Country codes, with the fewest and the most digits that their national numbers have (ITU-T E.164, annexed plans).
const PLANS: [(u32, u32, u32); 40] = [
    (1, 10, 10),
    (20, 8, 10),
    (212, 9, 9),
    (213, 8, 9),
    (221, 9, 9),
    (225, 10, 10),
    (233, 9, 9),
    (234, 8, 10),
    (237, 9, 9),
    (250, 9, 9),
    (251, 9, 9),
    (254, 9, 9),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (33, 9, 9),
    (34, 9, 9),
    (351, 9, 9),
    (353, 7, 9),
    (358, 5, 12),
    (36, 8, 9),
    (370, 8, 8),
    (375, 9, 9),
    (380, 9, 9),
    (39, 6, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 4, 13),
    (44, 9, 10),
    (48, 9, 9),
    (49, 6, 11),
    (52, 10, 10),
    (55, 10, 11),
    (60, 7, 10),
    (62, 8, 12),
    (63, 8, 10),
    (7, 10, 10),
    (81, 9, 10),
    (86, 9, 11),
    (971, 8, 9),
];

/// A telephone number of a real plan, with this before it and this between its groups.
fn phone(dice: &mut Dice, before: &str, between: &str, out: &mut String) {
    let (code, fewest, most) = PLANS[dice.below(PLANS.len() as u64) as usize];
    let digits = fewest + dice.below(u64::from(most - fewest) + 1) as u32;
    let number = 10_u64.pow(digits - 1) + dice.below(9 * 10_u64.pow(digits - 1));
    let number = number.to_string();
    let _ = write!(out, "{before}{code}");
    for (at, digit) in number.chars().enumerate() {
        if at % 3 == 0 && number.len() - at > 1 {
            out.push_str(between);
        }
        out.push(digit);
    }
}

#[test]
fn of_a_million_gtins_each_none_alarms_where_gtins_are_declared() {
    let is_gtin = |text: &str| Declared::Gtin.is_proved_by(text.as_bytes());
    for digits in [8, 12, 13] {
        assert_eq!(alarms(|dice, out| gtin(dice, digits, out), never), 0, "{digits} digits: not even in free text");
    }
    assert_eq!(alarms(|dice, out| gtin(dice, 14, out), is_gtin), 0);
    // The figure of docs/security.md: Diners Club's numbers have 14 digits too.
    let in_free_text = alarms(|dice, out| gtin(dice, 14, out), never);
    assert!((2_000..8_000).contains(&in_free_text), "{in_free_text}");
    println!("GTIN-14 in free text: {in_free_text} of a million");
}

#[test]
fn of_a_million_phone_numbers_each_none_alarms_even_in_free_text() {
    for (before, between) in [("+", ""), ("", ""), ("+", " "), ("00", " "), ("+", "-"), ("call +", ".")] {
        assert_eq!(alarms(|dice, out| phone(dice, before, between, out), never), 0, "{before:?} {between:?}");
    }
}

#[test]
fn of_a_million_uuids_each_none_alarms_even_in_free_text() {
    let free = |kind: u8| {
        alarms(
            |dice, out| {
                let id = dice.id();
                let id = match kind {
                    4 => id & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62,
                    7 => {
                        id & !(0xFFFF_FFFF_FFFF << 80) & !(0xF << 76)
                            | (0x0198_0000_0000 + u128::from(dice.below(1 << 32))) << 80
                            | 0x7 << 76
                    }
                    _ => id,
                };
                let hex = format!("{id:032x}");
                let _ = write!(out, "({}-{}-{}-{}-{})", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            },
            never,
        )
    };
    assert_eq!([free(0), free(4), free(7)], [0; 3], "with dashes");
    assert_eq!(alarms(|dice, out| _ = write!(out, "{:032x}", dice.id()), never), 0, "without");
    assert_eq!(alarms(|dice, out| _ = write!(out, "{:032X}", dice.id()), never), 0, "in capitals");
}

#[test]
fn of_a_million_of_our_ids_and_codes_each_none_alarms_even_in_free_text() {
    assert_eq!(alarms(|dice, out| _ = write!(out, "pay_{:032x}", dice.id()), never), 0, "ids");
    let letters = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let code = |dice: &mut Dice, out: &mut String| {
        let bits = dice.roll();
        (0..9).for_each(|at| out.push(char::from(letters[(bits >> (5 * at) & 31) as usize])));
    };
    assert_eq!(alarms(code, never), 0, "codes");
    let references =
        |dice: &mut Dice, out: &mut String| _ = write!(out, "INV-2026-{:06}/R{:04x}", dice.below(1_000_000), dice.below(1 << 16));
    assert_eq!(alarms(references, never), 0, "references");
}

#[test]
fn of_a_million_times_each_none_alarms_even_in_free_text() {
    let second = |dice: &mut Dice| 978_307_200 + dice.below(1_200_000_000);
    for nines in [0_u32, 3, 6, 9] {
        let unit = 10_u64.pow(nines);
        let time = |dice: &mut Dice, out: &mut String| _ = write!(out, "{}", second(dice) * unit + dice.below(unit));
        assert_eq!(alarms(time, never), 0, "seconds times 10^{nines}, from 2001 to 2038");
    }
    let date = |dice: &mut Dice, between: char, out: &mut String| {
        let (month, day) = (1 + dice.below(12), 1 + dice.below(28));
        let (hour, minute, second, micros) = (dice.below(24), dice.below(60), dice.below(60), dice.below(1_000_000));
        let _ = write!(out, "20{:02}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}.{micros:06}", dice.below(100));
    };
    assert_eq!(
        alarms(
            |dice, out| {
                date(dice, 'T', out);
                out.push('Z')
            },
            never
        ),
        0,
        "RFC 3339"
    );
    assert_eq!(
        alarms(
            |dice, out| {
                date(dice, ' ', out);
                out.push_str("+01:00")
            },
            never
        ),
        0,
        "with a space"
    );
    let span = |dice: &mut Dice, out: &mut String| {
        for before in ["", " - "] {
            let _ = write!(out, "{before}{:02}.{:02}.20{:02}", 1 + dice.below(31), 1 + dice.below(12), dice.below(100));
        }
    };
    assert_eq!(alarms(span, never), 0, "from a day to a day");
    let place = |dice: &mut Dice, out: &mut String| {
        _ = write!(out, "{}.{:016}, 0.{:016}", dice.below(90), dice.below(10_u64.pow(16)), dice.below(10_u64.pow(16)))
    };
    assert_eq!(alarms(place, never), 0, "degrees with sixteen decimals");
}

#[test]
fn every_published_test_card_is_found_in_every_form() {
    let mut count = 0;
    for number in published() {
        count += 1;
        let (spaced, dashed) = (grouped(number, " "), grouped(number, "-"));
        let wide: String = number.chars().map(|digit| char::from_u32(0xFF10 + digit.to_digit(10).unwrap()).unwrap()).collect();
        let single: Vec<String> = number.chars().map(|digit| digit.to_string()).collect();
        for text in [
            number.to_owned(),
            spaced.clone(),
            dashed.clone(),
            grouped(number, "."),
            grouped(number, "\u{a0}"),
            grouped(number, "\u{2013}"),
            grouped(number, " - "),
            single.join(" "),
            single.join("-"),
            wide,
        ] {
            for (before, after) in
                [("", ""), ("Karte: ", ", 12/30"), ("pay with ", " 12 30 123"), ("=", "&cvc=1"), ("卡号", "。"), ("(", ").")]
            {
                let text = format!("{before}{text}{after}");
                let found = find(&text).unwrap_or_else(|| panic!("{text}"));
                assert!(find(&redact(&text)).is_none(), "{text}");
                assert!(redact(&text).contains(REMOVED) && found.start >= before.len(), "{text}");
            }
        }
        for json in [
            format!(r#"{{"note": "{number}"}}"#),
            format!(r#"{{"note": "{spaced}"}}"#),
            format!(r#"{{"{dashed}": true}}"#),
            format!(r#"{{"list": [1, {{"n": {number}}}]}}"#),
            format!(r#"{{"raw": "{{\"card\": {{\"number\": \"{number}\"}}}}"}}"#),
            format!(r#"{{"raw": "{{\"n\": \"line\\n{number}\"}}"}}"#),
            format!(r#"{{"url": "https://a.example/?c={}"}}"#, spaced.replace(' ', "%20")),
            format!(r#"{{"n": "{}"}}"#, number.chars().map(|digit| format!("\\u003{digit}")).collect::<String>()),
        ] {
            let kept = redact_body("application/json", json.as_bytes());
            let kept = std::str::from_utf8(&kept).unwrap();
            assert!(kept.contains(REMOVED), "{json}");
            serde_json::from_str::<serde_json::Value>(kept).unwrap_or_else(|error| panic!("{error}: {kept}"));
            assert!(!kept.contains(number) && !kept.contains(&spaced) && !kept.contains(&dashed), "{kept}");
        }
    }
    assert!(count > 250, "{count}");
}

#[test]
fn a_number_that_touches_letters_or_digits_or_has_another_length_is_none() {
    for text in [
        "a4242424242424242",
        "4242424242424242b",
        "04242424242424242",
        "42424242424242421",
        "4242424242424241",
        "4222222222222",
        "76009244561",
        "1111111111111117",
        "4242 4242 4242 424x",
        "0.4242424242424242",
        "4242\n4242\n4242\n4242",
        "42, 42, 42, 42, 42, 42, 42, 42",
        "52.168.100.200 52.168.100.201",
        "3f2a4242-4242-4242-8242-424242424242",
        "",
        " ",
        "-",
    ] {
        assert_eq!(find(text), None, "{text}");
        assert_eq!(redact(text), text);
    }
    assert_eq!(find("x4242 4242424242424242"), Some(6..22));
    assert_eq!(find("one 4242424242424242"), Some(4..20));
    assert!(find("42424242-4242-4242-8242-424242424242").is_some(), "a UUID of digits alone is none");
}

#[test]
fn redaction_keeps_everything_else_to_the_byte() {
    let clean = "{\"a\": \"caf\u{e9} \\u00e9 4242 4242\", \"n\": 17}";
    assert!(matches!(redact_body("application/json", clean.as_bytes()), std::borrow::Cow::Borrowed(_)));
    for (kind, body, kept) in [
        (
            "application/json",
            r#"{"a":"x 4242424242424242 y","b":-4242424242424242,"c":[1.50]}"#,
            r#"{"a":"x [card number removed] y","b":"[card number removed]","c":[1.50]}"#,
        ),
        ("application/json", r#"{"a":"\u0034242424242424242 \"q\""}"#, r#"{"a":"[card number removed] \"q\""}"#),
        ("application/json", r#"{"4242424242424242":1}"#, r#"{"[card number removed]":1}"#),
        ("application/json", r#"{"broken": "4242424242424242"#, r#"{"broken": "[card number removed]"#),
        ("application/x-www-form-urlencoded", "a=1&card=4242+4242%204242+4242&b=%C3%9F", "a=1&card=%5Bcard+number+removed%5D&b=%C3%9F"),
        ("text/csv", "id,card\n1,4242424242424242\n2,none\n", "id,card\n1,[card number removed]\n2,none\n"),
        ("text/plain", "first\n%34242424242424242\nlast", "first\n[card number removed]\nlast"),
        ("", r#"{"a": 4242424242424242}"#, r#"{"a": "[card number removed]"}"#),
    ] {
        assert_eq!(std::str::from_utf8(&redact_body(kind, body.as_bytes())).unwrap(), kept, "{kind}");
    }
    let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain("n;4242424242424242\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(&*redact_body("text/csv", &wide), "\u{feff}n;[card number removed]\n".as_bytes());
    let picture = [b"\xFF\xD8\xFF ".as_slice(), b"4242424242424242"].concat();
    assert_eq!(&*redact_body("image/jpeg", &picture), picture);
    assert_ne!(&*redact_body("image/jpeg", b"GIF 4242424242424242"), b"GIF 4242424242424242", "it only says that it is a picture");
}

#[test]
fn hostile_texts_take_no_longer_than_others_and_do_no_harm() {
    for text in ["4 ".repeat(32_000), "4242-".repeat(13_000), "\u{ff14}".repeat(20_000), "\\u0034".repeat(10_000), "%2534".repeat(12_000)] {
        let kept = redact_body("text/plain", text.as_bytes());
        assert_eq!(find(&String::from_utf8_lossy(&kept)), None);
    }
    let mut dice = Dice(3);
    for _ in 0..20_000 {
        let text: Vec<u8> =
            (0..dice.below(60)).map(|_| b"4242424242 -.\\\"{}[]:,%u003e\xC3\xEF\xBC\x94"[dice.below(31) as usize]).collect();
        for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=4"] {
            let kept = redact_body(kind, &text);
            assert!(kind != "text/plain" || find(&String::from_utf8_lossy(&kept)).is_none(), "{}", text.escape_ascii());
            assert_eq!(redact_body(kind, &kept), kept, "{kind}: {}", text.escape_ascii());
        }
    }
}
