//! A brand's colour, and the shades of it that stay readable on a light and on a dark page (WCAG 2.2, 1.4.3 and
//! 1.4.11). No I/O.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A colour of sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Red, green and blue.
    rgb: [u8; 3],
}

/// The shades of one page in one scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shades {
    /// Fills a button or a band. Its edge is seen against the page; what it is, its label says.
    pub fill: Colour,
    /// The same, deeper, for the far end of the band.
    pub deep: Colour,
    /// Writes on `fill`: at least 4.5:1.
    pub on_fill: Colour,
    /// Writes and draws on the page in the brand's hue: at least 4.5:1.
    pub ink: Colour,
}

const WHITE: Colour = Colour { rgb: [255, 255, 255] };
const BLACK: Colour = Colour { rgb: [0, 0, 0] };
/// The darkest light surface, and the lightest dark one, that a page writes on; see `templates/card.css`.
const LIGHT: Colour = Colour { rgb: [0xf2, 0xf3, 0xf6] };
const DARK: Colour = Colour { rgb: [0x22, 0x29, 0x32] };

/// Enough for an edge to be seen, and so little that a light brand keeps its colour.
const FILL_MIN: f64 = 1.25;

impl Colour {
    /// The colour of a card that has none of its own.
    pub const DEFAULT: Self = Self { rgb: [0x1f, 0x4f, 0xd8] };

    /// From red, green and blue.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { rgb: [red, green, blue] }
    }

    /// Reads `#rrggbb` or `#rgb`, in any case, with or without the `#`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let digit = |at: usize| digits.as_bytes().get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match digits.len() {
            3 => Some(Self::rgb(digit(0)? * 17, digit(1)? * 17, digit(2)? * 17)),
            6 => Some(Self::rgb(digit(0)? * 16 + digit(1)?, digit(2)? * 16 + digit(3)?, digit(4)? * 16 + digit(5)?)),
            _ => None,
        }
    }

    /// The shades for a light page.
    pub fn on_light(self) -> Shades {
        self.shades(LIGHT, BLACK)
    }

    /// The shades for a dark page.
    pub fn on_dark(self) -> Shades {
        self.shades(DARK, WHITE)
    }

    fn shades(self, page: Self, away: Self) -> Shades {
        let fill = self.until(page, away, FILL_MIN);
        let on_fill = if contrast(fill, WHITE) >= 4.5 { WHITE } else { BLACK };
        // Away from the writing, so that what stands on the band reads at its far end too.
        let deep = fill.mixed(if on_fill == WHITE { BLACK } else { WHITE }, 0.28);
        Shades { fill, deep, on_fill, ink: self.until(page, away, 4.5) }
    }

    /// This colour, moved towards `away` in small steps until it stands out from `page`.
    fn until(self, page: Self, away: Self, ratio: f64) -> Self {
        (0..=50).map(|step| self.mixed(away, f64::from(step) / 50.0)).find(|shade| contrast(*shade, page) >= ratio).unwrap_or(away)
    }

    fn mixed(self, other: Self, share: f64) -> Self {
        let mut rgb = self.rgb;
        for (at, part) in rgb.iter_mut().enumerate() {
            *part = (f64::from(*part) * (1.0 - share) + f64::from(other.rgb[at]) * share).round() as u8;
        }
        Self { rgb }
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.rgb.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// The contrast ratio of two colours, from 1 to 21 (WCAG 2.2).
pub fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (one.luminance(), other.luminance());
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.rgb;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a colour of the form #rrggbb"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_colour_is_read_and_written() {
        assert_eq!(Colour::parse("#0A7d5C").unwrap().to_string(), "#0a7d5c");
        assert_eq!(Colour::parse("fff").unwrap(), WHITE);
        for bad in ["", "#", "#12345", "#12345g", "red", "#é12345"] {
            assert_eq!(Colour::parse(bad), None, "{bad}");
        }
        assert!((contrast(WHITE, BLACK) - 21.0).abs() < 0.01);
    }

    #[test]
    fn the_pages_surfaces_are_those_that_the_shades_are_made_for() {
        let css = include_str!("../templates/page.css");
        assert!(css.contains(&format!("--soft:{LIGHT};")) && css.contains(&format!("--soft:{DARK};")));
    }

    proptest! {
        #[test]
        fn whatever_the_brand_its_shades_are_readable(red: u8, green: u8, blue: u8) {
            let brand = Colour::rgb(red, green, blue);
            for (page, shades) in [(LIGHT, brand.on_light()), (DARK, brand.on_dark())] {
                prop_assert!(contrast(shades.fill, page) >= FILL_MIN);
                prop_assert!(contrast(shades.fill, shades.on_fill) >= 4.5);
                prop_assert!(contrast(shades.deep, shades.on_fill) >= 4.5);
                prop_assert!(contrast(shades.ink, page) >= 4.5);
            }
        }
    }
}
