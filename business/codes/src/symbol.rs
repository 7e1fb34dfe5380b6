//! The noun: the symbol that is printed. Pure.
//!
//! A [`Symbol`] is the modules of a text; a [`Style`] says how they look. Drawing draws, then reads the drawing back with an
//! independent decoder and hands it out only if that found the same text.

mod png;
mod read_back;
mod svg;

use qrcodegen::{QrCode, QrCodeEcc};

/// The widest quiet zone, in modules; the standard asks for four.
pub const QUIET_ZONE_MAX: u32 = 16;
/// The largest picture, in pixels a side; what is printed larger is better printed from SVG.
pub const SIDE_MAX: u32 = 4_096;
/// The largest module, in pixels.
pub const MODULE_MAX: u32 = 64;
/// The least difference between the two colours, in grey levels of 255: the 40 % that ISO/IEC 15415 grades C.
const CONTRAST_MIN: u32 = 102;

/// How much of a symbol may be damaged: 7, 15, 25 or 30 per cent. A higher one is taken where it costs no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// 7 %.
    L,
    /// 15 %.
    M,
    /// 25 %.
    Q,
    /// 30 %.
    H,
}

/// A colour of 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Red.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
}

/// What is behind the dark modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Background {
    /// A colour.
    Colour(Colour),
    /// Nothing: whoever prints it answers for something light behind it.
    Transparent,
}

/// How large a symbol is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// This many pixels for each module.
    Module(u32),
    /// This many pixels a side, the quiet zone included. Modules of a PNG stay whole pixels; what is over widens the quiet zone.
    Side(u32),
}

/// How a symbol looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Style {
    /// How large.
    pub size: Size,
    /// The light border, in modules.
    pub quiet_zone: u32,
    /// The dark modules.
    pub foreground: Colour,
    /// What is behind them.
    pub background: Background,
}

impl Default for Style {
    /// Black on white, eight pixels a module, four modules of quiet zone.
    fn default() -> Self {
        Self { size: Size::Module(8), quiet_zone: 4, foreground: Colour::BLACK, background: Background::Colour(Colour::WHITE) }
    }
}

/// Why a symbol is not drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// More than the largest symbol holds at this level.
    #[error("the text is too long for a symbol of this level")]
    TooLong,
    /// The quiet zone is too wide.
    #[error("must be 0 to 16 modules")]
    QuietZone,
    /// Too small to hold the modules, or too large.
    #[error("must give every module 1 to 64 pixels and the picture at most 4,096 pixels a side")]
    Size,
    /// A colour that is not six hexadecimal digits.
    #[error("must be six hexadecimal digits such as 1a2b3c")]
    Colour,
    /// The foreground is lighter than the background.
    #[error("must be darker than the background: many phones do not read inverted symbols")]
    Inverted,
    /// The colours are too close.
    #[error("must differ from the background by at least 40 per cent in lightness")]
    Contrast,
    /// A decoder did not read it.
    #[error("a symbol in this style could not be read back: choose a larger size, a wider quiet zone or clearer colours")]
    Unreadable,
}

impl SymbolError {
    /// The parameter of a request that this is about.
    pub fn field(self) -> &'static str {
        match self {
            Self::TooLong => "level",
            Self::QuietZone => "quiet_zone",
            Self::Size | Self::Unreadable => "size",
            Self::Colour | Self::Inverted | Self::Contrast => "foreground",
        }
    }
}

impl Colour {
    /// Black.
    pub const BLACK: Self = Self { red: 0, green: 0, blue: 0 };
    /// White.
    pub const WHITE: Self = Self { red: 255, green: 255, blue: 255 };

    /// Reads six hexadecimal digits, with or without `#`.
    pub fn parse(text: &str) -> Result<Self, SymbolError> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SymbolError::Colour);
        }
        let bits = u32::from_str_radix(digits, 16).map_err(|_| SymbolError::Colour)?;
        Ok(Self { red: (bits >> 16) as u8, green: (bits >> 8) as u8, blue: bits as u8 })
    }

    /// Its lightness from 0 to 255, as a camera's grey picture has it (the weights of ITU-R BT.601).
    pub fn grey(self) -> u32 {
        (306 * u32::from(self.red) + 601 * u32::from(self.green) + 117 * u32::from(self.blue)) >> 10
    }
}

impl Style {
    fn check_colours(&self) -> Result<(), SymbolError> {
        let behind = self.background_colour().grey();
        let dark = self.foreground.grey();
        if dark >= behind {
            Err(SymbolError::Inverted)
        } else if behind - dark < CONTRAST_MIN {
            Err(SymbolError::Contrast)
        } else {
            Ok(())
        }
    }

    /// What a reader sees behind the modules: paper, where nothing is painted.
    fn background_colour(&self) -> Colour {
        match self.background {
            Background::Colour(colour) => colour,
            Background::Transparent => Colour::WHITE,
        }
    }
}

/// The modules of a text.
#[derive(Clone)]
pub struct Symbol {
    text: String,
    code: QrCode,
}

/// The modules of `text`, at `level` or higher.
pub fn symbol_for_text(text: &str, level: Level) -> Result<Symbol, SymbolError> {
    let level = match level {
        Level::L => QrCodeEcc::Low,
        Level::M => QrCodeEcc::Medium,
        Level::Q => QrCodeEcc::Quartile,
        Level::H => QrCodeEcc::High,
    };
    let code = QrCode::encode_text(text, level).map_err(|_| SymbolError::TooLong)?;
    Ok(Symbol { text: text.to_owned(), code })
}

/// The text of a code's symbol: the address that is scanned. Where the address is only a host it is upper case, which takes the
/// alphanumeric mode and with it a smaller symbol; schemes and hosts are read in either case.
pub fn text_of_code(public_url: &str, code: crate::PublicCode) -> String {
    let base = public_url.trim_end_matches('/');
    let host = base.split_once("://").map_or(base, |(_, rest)| rest);
    if host.contains('/') { format!("{base}/{code}") } else { format!("{}/{code}", base.to_ascii_uppercase()) }
}

impl Symbol {
    /// The text it holds.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its version, 1 to 40.
    pub fn version(&self) -> u8 {
        self.code.version().value()
    }

    /// Its modules a side, without quiet zone.
    pub fn side(&self) -> u32 {
        u32::from(self.version()) * 4 + 17
    }

    /// Whether the module in column `x` of row `y` is dark.
    pub fn is_dark(&self, x: u32, y: u32) -> bool {
        self.code.get_module(i32::try_from(x).unwrap_or(-1), i32::try_from(y).unwrap_or(-1))
    }

    /// Draws it as SVG with one path, of about 2 KB.
    pub fn svg(&self, style: &Style) -> Result<String, SymbolError> {
        let frame = self.frame(style)?;
        style.check_colours()?;
        // The drawing keeps its shape at every scale, so that it is read back at a modest one.
        let raster = Raster::draw(self, frame.quiet_zone, 4, 0);
        raster.read_back(style, &self.text)?;
        Ok(svg::write(self, style, frame.side))
    }

    /// Draws it as PNG with a palette of two colours.
    pub fn png(&self, style: &Style) -> Result<Vec<u8>, SymbolError> {
        let frame = self.frame(style)?;
        style.check_colours()?;
        let over = frame.side - frame.scale * (self.side() + 2 * frame.quiet_zone);
        let raster = Raster::draw(self, frame.quiet_zone, frame.scale, over);
        raster.read_back(style, &self.text)?;
        Ok(png::write(&raster, style))
    }

    fn frame(&self, style: &Style) -> Result<Frame, SymbolError> {
        if style.quiet_zone > QUIET_ZONE_MAX {
            return Err(SymbolError::QuietZone);
        }
        let modules = self.side() + 2 * style.quiet_zone;
        let (scale, side) = match style.size {
            Size::Module(scale) => (scale, scale.checked_mul(modules).ok_or(SymbolError::Size)?),
            Size::Side(side) => (side / modules, side),
        };
        let is_fit = (1..=MODULE_MAX).contains(&scale) || (scale > MODULE_MAX && matches!(style.size, Size::Side(_)));
        if !is_fit || side > SIDE_MAX {
            return Err(SymbolError::Size);
        }
        Ok(Frame { scale, side, quiet_zone: style.quiet_zone })
    }
}

/// The measures of one drawing, in pixels and modules.
struct Frame {
    scale: u32,
    side: u32,
    quiet_zone: u32,
}

/// Rows of pixels, one bit each, most significant first, dark is 1; equal rows are kept once.
struct Raster {
    side: u32,
    scale: u32,
    /// Pixels left of the first module, and above it.
    before: u32,
    bands: Vec<Band>,
}

/// A row and how often it repeats.
struct Band {
    row: Vec<u8>,
    repeat: u32,
}

impl Raster {
    /// `over` pixels are added to the quiet zone, half of them at the left and the top.
    fn draw(symbol: &Symbol, quiet_zone: u32, scale: u32, over: u32) -> Self {
        let side = scale * (symbol.side() + 2 * quiet_zone) + over;
        let before = scale * quiet_zone + over / 2;
        let after = side - before - scale * symbol.side();
        let blank = || vec![0_u8; side.div_ceil(8) as usize];
        let mut bands = Vec::with_capacity(symbol.side() as usize + 2);
        bands.push(Band { row: blank(), repeat: before });
        for y in 0..symbol.side() {
            let mut row = blank();
            for x in (0..symbol.side()).filter(|x| symbol.is_dark(*x, y)) {
                let start = before + x * scale;
                for pixel in start..start + scale {
                    row[(pixel / 8) as usize] |= 0x80 >> (pixel % 8);
                }
            }
            bands.push(Band { row, repeat: scale });
        }
        bands.push(Band { row: blank(), repeat: after });
        bands.retain(|band| band.repeat > 0);
        Self { side, scale, before, bands }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PublicCode;
    use proptest::prelude::*;

    fn symbol(level: Level) -> Symbol {
        let code = PublicCode::from_number(0x12_3456_789A).unwrap();
        symbol_for_text(&text_of_code("https://go.acme.io", code), level).unwrap()
    }

    #[test]
    fn the_address_of_a_code_fits_version_two_at_level_m() {
        let symbol = symbol(Level::M);
        assert!(symbol.text().starts_with("HTTPS://GO.ACME.IO/"));
        assert_eq!((symbol.text().len(), symbol.version(), symbol.side()), (28, 2, 25));
        let code = PublicCode::from_number(5).unwrap();
        assert_eq!(text_of_code("http://192.168.1.7:8080/", code), format!("HTTP://192.168.1.7:8080/{code}"));
        assert_eq!(text_of_code("https://acme.io/go", code), format!("https://acme.io/go/{code}"), "a path may mind its case");
    }

    #[test]
    fn a_style_that_no_phone_would_read_is_refused_with_its_reason() {
        let symbol = symbol(Level::M);
        let style = Style::default();
        let white_on_black = Style { foreground: Colour::WHITE, background: Background::Colour(Colour::BLACK), ..style };
        let pale = Style { foreground: Colour::parse("#bbbbbb").unwrap(), ..style };
        let on_glass = Style { foreground: Colour::parse("eeeeee").unwrap(), background: Background::Transparent, ..style };
        for (style, error) in [
            (white_on_black, SymbolError::Inverted),
            (pale, SymbolError::Contrast),
            (on_glass, SymbolError::Contrast),
            (Style { quiet_zone: 17, ..style }, SymbolError::QuietZone),
            (Style { size: Size::Module(0), ..style }, SymbolError::Size),
            (Style { size: Size::Module(65), ..style }, SymbolError::Size),
            (Style { size: Size::Module(u32::MAX), ..style }, SymbolError::Size),
            (Style { size: Size::Side(32), ..style }, SymbolError::Size),
            (Style { size: Size::Side(4_097), ..style }, SymbolError::Size),
        ] {
            assert_eq!(symbol.png(&style), Err(error), "{style:?}");
            assert_eq!(symbol.svg(&style), Err(error), "{style:?}");
        }
        assert_eq!(symbol_for_text(&"x".repeat(3_000), Level::L).err(), Some(SymbolError::TooLong));
        for bad in ["", "12345", "gggggg", "+12345", "#1234567", "ä1234"] {
            assert_eq!(Colour::parse(bad), Err(SymbolError::Colour), "{bad}");
        }
    }

    #[test]
    fn what_was_drawn_wrongly_is_not_handed_out() {
        let symbol = symbol(Level::L);
        let mut raster = Raster::draw(&symbol, 4, 4, 0);
        assert_eq!(raster.read_back(&Style::default(), "HTTPS://OTHER.EXAMPLE/"), Err(SymbolError::Unreadable));
        for band in &mut raster.bands[8..20] {
            band.row.fill(0);
        }
        assert_eq!(raster.read_back(&Style::default(), symbol.text()), Err(SymbolError::Unreadable));
    }

    #[test]
    fn an_offline_card_with_names_of_all_scripts_is_read_back() {
        let card = "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Müller;Zoë;;;\r\nFN:Zoë Müller 山田 عمر\r\nTEL:+4930123456\r\nEND:VCARD\r\n";
        let symbol = symbol_for_text(card, Level::L).unwrap();
        assert!(symbol.version() <= 10);
        assert!(symbol.svg(&Style::default()).unwrap().starts_with("<svg "));
        assert!(symbol.png(&Style::default()).is_ok());
    }

    #[test]
    fn the_largest_symbol_is_drawn_and_read_back() {
        let symbol = symbol_for_text(&"TESSERA ".repeat(210), Level::H).unwrap();
        assert!(symbol.version() >= 38, "version {}", symbol.version());
        assert!(symbol.png(&Style { size: Size::Module(4), ..Style::default() }).is_ok());
    }

    #[test]
    fn a_symbol_whose_modules_look_like_a_corner_is_handed_out_too() {
        for (number, side, quiet_zone) in [(838_789_838_305, 200, 2), (786_874_156_066, 266, 4), (448_161_567_184, 284, 4)] {
            let text = text_of_code("https://go.acme.io", PublicCode::from_number(number).unwrap());
            let style = Style { size: Size::Side(side), quiet_zone, ..Style::default() };
            assert!(symbol_for_text(&text, Level::L).unwrap().png(&style).is_ok(), "{number} at {side} px");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn whatever_is_handed_out_is_the_asked_size(
            number in 0_u64..1 << 40, side in 60..700_u32, quiet_zone in 0..=8_u32,
            level in prop_oneof![Just(Level::L), Just(Level::M), Just(Level::Q), Just(Level::H)],
        ) {
            let code = PublicCode::from_number(number).unwrap();
            let symbol = symbol_for_text(&text_of_code("https://go.acme.io", code), level).unwrap();
            let style = Style { size: Size::Side(side), quiet_zone, foreground: Colour::parse("203060").unwrap(), ..Style::default() };
            let png = symbol.png(&style).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), side);
        }
    }
}
