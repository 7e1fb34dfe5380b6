//! Issuers: which first digits with which length a card number may have, and the check digit. Pure.
//!
//! Prefixes after ISO/IEC 7812 as the networks publish them (Visa, Mastercard, American Express, Discover Global Network,
//! JCB, UnionPay, Verve, Mir, RuPay, Elo, Troy, Napas, Humo, Uzcard). Left out on purpose: 13-digit Visa, which no issuer
//! has used for decades and which one EAN-13 in ten looks like; Maestro of 12 and 13 digits, for the same reason; UATP (15
//! digits that begin with 1), which is accepted by airlines alone and would refuse every tenth profile number of a large
//! social network.

/// The fewest digits of a card number.
pub(super) const DIGITS_MIN: usize = 14;
/// The most digits of a card number.
pub(super) const DIGITS_MAX: usize = 19;

/// First and last of the six leading digits, and a bit for each length that such numbers have.
type Issuer = (u32, u32, u32);

const fn lengths(all: &[u32]) -> u32 {
    let (mut bits, mut at) = (0, 0);
    while at < all.len() {
        bits |= 1 << all[at];
        at += 1;
    }
    bits
}

const LONG: u32 = lengths(&[16, 17, 18, 19]);
const DINERS: u32 = lengths(&[14, 16, 19]);
const MAESTRO_SHORT: u32 = lengths(&[14, 15]);

/// By first digit, so that one look-up suffices for most numbers.
const ISSUERS: [&[Issuer]; 10] = [
    &[],
    // JCB's numbers of 15 digits.
    &[(180_000, 180_099, lengths(&[15]))],
    &[
        (213_100, 213_199, lengths(&[15])),
        // Mir and Borica, then Mastercard's second series.
        (220_000, 220_599, lengths(&[16, 19])),
        (222_100, 272_099, lengths(&[16])),
    ],
    &[
        (300_000, 305_999, DINERS),
        (309_500, 309_599, DINERS),
        (360_000, 369_999, DINERS),
        (380_000, 399_999, DINERS),
        // American Express.
        (340_000, 349_999, lengths(&[15])),
        (370_000, 379_999, lengths(&[15])),
        // JCB, with the older ranges that test cards still use.
        (352_800, 358_999, LONG),
        (308_800, 309_499, lengths(&[16])),
        (309_600, 310_299, lengths(&[16])),
        (311_200, 312_099, lengths(&[16])),
        (315_800, 315_999, lengths(&[16])),
        (333_700, 334_999, lengths(&[16])),
    ],
    // Visa.
    &[(400_000, 499_999, lengths(&[16, 19]))],
    &[
        // Maestro, Verve, Elo; Mastercard; Maestro.
        (500_000, 509_999, LONG),
        (510_000, 559_999, lengths(&[16])),
        (560_000, 599_999, LONG),
        (501_800, 501_899, MAESTRO_SHORT),
        (502_000, 502_099, MAESTRO_SHORT),
        (503_800, 503_899, MAESTRO_SHORT),
        (589_300, 589_399, MAESTRO_SHORT),
    ],
    &[
        // Discover, UnionPay, RuPay, Maestro, Verve, Hipercard, Troy.
        (600_000, 699_999, LONG),
        (630_400, 630_499, MAESTRO_SHORT),
        (675_900, 675_999, MAESTRO_SHORT),
        (676_100, 676_399, MAESTRO_SHORT),
    ],
    &[],
    // UnionPay and RuPay; Uzcard.
    &[(810_000, 829_999, lengths(&[16, 19])), (860_000, 860_099, lengths(&[16]))],
    // Napas, Troy, Humo.
    &[(970_400, 970_499, lengths(&[16, 19])), (979_200, 979_299, lengths(&[16])), (986_000, 986_099, lengths(&[16]))],
];

/// Whether these digits (each 0 to 9) are a card number: a known issuer, its length, and the check digit of Luhn.
pub(super) fn is_card(digits: &[u8]) -> bool {
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) {
        return false;
    }
    let start = digits.iter().take(6).fold(0, |start, digit| start * 10 + u32::from(*digit));
    let known = ISSUERS.get(usize::from(digits[0])).copied().unwrap_or_default();
    known.iter().any(|(first, last, lengths)| (*first..=*last).contains(&start) && lengths >> digits.len() & 1 == 1) && is_luhn(digits)
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn is_luhn(digits: &[u8]) -> bool {
    const DOUBLED: [u8; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| u32::from(if place % 2 == 1 { DOUBLED[usize::from(*digit % 10)] } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}
