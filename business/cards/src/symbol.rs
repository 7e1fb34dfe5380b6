//! The offline symbol: a QR code that holds the contact itself, so that it is read without a network. No I/O.

use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

use crate::card::Profile;
use crate::vcard;

/// The largest symbol that a phone still reads quickly off another phone's screen: 57 modules a side.
const VERSION_MAX: u8 = 10;

/// Light modules on each side of a symbol (ISO/IEC 18004 asks for four).
const QUIET: i32 = 4;

/// A QR code with a contact in it.
#[derive(Clone)]
pub struct OfflineSymbol {
    code: QrCode,
}

impl OfflineSymbol {
    /// The contact in a symbol of at most version 10: as much of it as fits. None when even the name does not.
    pub fn of(profile: &Profile, page_url: Option<&str>) -> Option<Self> {
        vcard::compact(profile, page_url).iter().find_map(|text| {
            let segment = [QrSegment::make_bytes(text.as_bytes())];
            // A screen is clean and flat: better all of the contact at level L than less of it at M. Where there is room, the
            // level is raised anyway.
            QrCode::encode_segments_advanced(&segment, QrCodeEcc::Low, Version::MIN, Version::new(VERSION_MAX), None, true)
                .ok()
                .map(|code| Self { code })
        })
    }

    /// The symbol's version, 1 to 10.
    pub fn version(&self) -> u8 {
        self.code.version().value()
    }

    /// How many units the drawing has a side, quiet zone included.
    pub fn side(&self) -> i32 {
        self.code.size() + 2 * QUIET
    }

    /// The dark modules as the path of an SVG, row by row, to be drawn with a stroke of one unit: half the bytes of rectangles.
    pub fn path(&self) -> String {
        use std::fmt::Write as _;
        let mut path = String::with_capacity(6_144);
        for y in 0..self.code.size() {
            let (mut x, mut pen) = (0, None);
            while x < self.code.size() {
                let run = (x..self.code.size()).take_while(|x| self.code.get_module(*x, y)).count();
                let run = i32::try_from(run).unwrap_or(0);
                if run > 0 {
                    let _ = match pen {
                        None => write!(path, "M{} {}.5h{run}", x + QUIET, y + QUIET),
                        Some(pen) => write!(path, "m{} 0h{run}", x - pen),
                    };
                    pen = Some(x + run);
                }
                x += run.max(1);
            }
        }
        path
    }

    /// The symbol as a file.
    pub fn svg(&self) -> String {
        let side = self.side();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"{px}\" height=\"{px}\" shape-rendering=\"crispEdges\">\
             <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path stroke=\"#000\" d=\"{path}\"/></svg>",
            px = side * 6,
            path = self.path()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::ProfileDraft;
    use crate::contact::LabelledDraft;

    fn profile(name: &str, organisation: &str) -> Profile {
        Profile::parse(ProfileDraft {
            display_name: Some(name.into()),
            organisation: Some(organisation.into()),
            job_title: Some("Analyst".into()),
            emails: vec![LabelledDraft::new("work", "ada@example.org")],
            phones: vec![LabelledDraft::new("mobile", "+44 20 7946 0000")],
            ..ProfileDraft::default()
        })
        .unwrap()
    }

    #[test]
    fn a_usual_contact_fits_whole() {
        let symbol = OfflineSymbol::of(&profile("Ada Lovelace", "Analytical Engines"), Some("https://t.example/K7QW2XR9")).unwrap();
        assert!(symbol.version() <= 10);
        assert!(symbol.svg().len() < 8_000, "{}", symbol.svg().len());
    }

    #[test]
    fn a_long_contact_gives_up_parts_and_a_name_beyond_all_measure_has_no_symbol() {
        assert!(OfflineSymbol::of(&profile("Ada Lovelace", &"long ".repeat(30)), None).is_some());
        assert!(OfflineSymbol::of(&profile(&"山".repeat(200), "x"), None).is_none());
    }
}
