//! The symbol as PNG: one bit a pixel, two colours, and a deflate stream that says "the row above" instead of searching for it.
//!
//! A general compressor spends forty times as long to come out at about the same size.

use super::{Background, Colour, Raster, Style};

/// PNG (ISO/IEC 15948), colour type 3, bit depth 1: index 0 is the background, index 1 the dark modules.
pub(super) fn write(raster: &Raster, style: &Style) -> Vec<u8> {
    let mut png = Vec::with_capacity(2_048);
    png.extend_from_slice(b"\x89PNG\r\n\x1a\n");
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&raster.side.to_be_bytes());
    header.extend_from_slice(&raster.side.to_be_bytes());
    header.extend_from_slice(&[1, 3, 0, 0, 0]);
    chunk(&mut png, b"IHDR", &header);
    let colours = [style.background_colour(), style.foreground];
    let palette: Vec<u8> = colours.iter().flat_map(|Colour { red, green, blue }| [*red, *green, *blue]).collect();
    chunk(&mut png, b"PLTE", &palette);
    if style.background == Background::Transparent {
        chunk(&mut png, b"tRNS", &[0]);
    }
    chunk(&mut png, b"IDAT", &compress(raster));
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    png.extend_from_slice(&(content.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend_from_slice(kind);
    png.extend_from_slice(content);
    let sum = crc32fast::hash(&png[start..]);
    png.extend_from_slice(&sum.to_be_bytes());
}

/// A zlib stream (RFC 1950) of one block with the fixed codes (RFC 1951, 3.2.6).
fn compress(raster: &Raster) -> Vec<u8> {
    let mut bits = Bits { bytes: vec![0x78, 0x01], held: 0, count: 0 };
    let mut sum = Adler { a: 1, b: 0 };
    bits.push(0b011, 3);
    for band in &raster.bands {
        // Each row starts with its filter: none.
        let row: Vec<u8> = std::iter::once(0).chain(band.row.iter().copied()).collect();
        bits.row(&row);
        bits.matches(row.len() as u32, row.len() as u32 * (band.repeat - 1), &row);
        sum.rows(&row, band.repeat);
    }
    bits.symbol(256);
    let mut bytes = bits.finish();
    bytes.extend_from_slice(&((sum.b << 16) | sum.a).to_be_bytes());
    bytes
}

/// Adler-32 over repeated rows, in a closed form for each row.
struct Adler {
    a: u32,
    b: u32,
}

impl Adler {
    fn rows(&mut self, row: &[u8], repeat: u32) {
        const PRIME: u64 = 65_521;
        let sum: u64 = row.iter().map(|byte| u64::from(*byte)).sum();
        let weighted: u64 = row.iter().rev().zip(1_u64..).map(|(byte, weight)| u64::from(*byte) * weight).sum();
        let (mut a, mut b) = (u64::from(self.a), u64::from(self.b));
        for _ in 0..repeat {
            b = (b + a * row.len() as u64 + weighted) % PRIME;
            a = (a + sum) % PRIME;
        }
        (self.a, self.b) = (a as u32, b as u32);
    }
}

/// Bits in the order of deflate: least significant first.
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// A symbol of the fixed literal and length code; its bits go most significant first.
    fn symbol(&mut self, symbol: u32) {
        let (code, count) = match symbol {
            0..=143 => (0x30 + symbol, 8),
            144..=255 => (0x190 + symbol - 144, 9),
            256..=279 => (symbol - 256, 7),
            _ => (0xC0 + symbol - 280, 8),
        };
        self.push(code.reverse_bits() >> (32 - count), count);
    }

    /// One row: runs of an equal byte as a byte and a match at distance one.
    fn row(&mut self, row: &[u8]) {
        let mut at = 0;
        while at < row.len() {
            let run = row[at..].iter().take_while(|byte| **byte == row[at]).count();
            self.symbol(u32::from(row[at]));
            self.matches(1, run as u32 - 1, &row[at..=at]);
            at += run;
        }
    }

    /// `length` more bytes, each equal to the one `distance` before it. `last` is what repeats, for the one or two bytes that are
    /// too few for a match.
    fn matches(&mut self, distance: u32, mut length: u32, last: &[u8]) {
        let mut done = 0;
        while length >= 3 {
            // A rest of one or two bytes is avoided where a shorter match does it.
            let take = if length > 258 && length < 261 { length - 3 } else { length.min(258) };
            let (symbol, extra, count) = length_symbol(take);
            self.symbol(symbol);
            self.push(extra, count);
            let (symbol, extra, count) = distance_symbol(distance);
            self.push(symbol.reverse_bits() >> 27, 5);
            self.push(extra, count);
            length -= take;
            done += take as usize;
        }
        for step in 0..length as usize {
            self.symbol(u32::from(last[(done + step) % last.len()]));
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.held as u8);
        }
        self.bytes
    }
}

/// The symbol of a match of 3 to 258 bytes, its extra bits and their count.
fn length_symbol(length: u32) -> (u32, u32, u32) {
    match length {
        258 => (285, 0, 0),
        3..=10 => (254 + length, 0, 0),
        _ => {
            let offset = length - 3;
            let count = offset.ilog2() - 2;
            (257 + 4 * count + (offset >> count), offset & ((1 << count) - 1), count)
        }
    }
}

/// The symbol of a distance of 1 to 32,768, its extra bits and their count.
fn distance_symbol(distance: u32) -> (u32, u32, u32) {
    let offset = distance - 1;
    if offset < 4 {
        return (offset, 0, 0);
    }
    let count = offset.ilog2() - 1;
    (2 * count + (offset >> count), offset & ((1 << count) - 1), count)
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use image::ImageDecoder;

    /// RFC 1951, 3.2.5.
    #[test]
    fn lengths_and_distances_have_the_symbols_of_the_standard() {
        for (length, expected) in [
            (3, (257, 0, 0)),
            (10, (264, 0, 0)),
            (11, (265, 0, 1)),
            (12, (265, 1, 1)),
            (18, (268, 1, 1)),
            (19, (269, 0, 2)),
            (130, (280, 15, 4)),
            (131, (281, 0, 5)),
            (257, (284, 30, 5)),
            (258, (285, 0, 0)),
        ] {
            assert_eq!(length_symbol(length), expected, "length {length}");
        }
        for (distance, expected) in [
            (1, (0, 0, 0)),
            (4, (3, 0, 0)),
            (5, (4, 0, 1)),
            (6, (4, 1, 1)),
            (7, (5, 0, 1)),
            (9, (6, 0, 2)),
            (24_577, (29, 0, 13)),
            (32_768, (29, 8_191, 13)),
        ] {
            assert_eq!(distance_symbol(distance), expected, "distance {distance}");
        }
    }

    #[test]
    fn another_programs_decoder_finds_exactly_our_pixels() {
        let text = "HTTPS://GO.ACME.IO/ABCDEFGH9";
        for (level, size, quiet_zone) in [
            (Level::L, Size::Module(2), 4),
            (Level::M, Size::Module(8), 4),
            (Level::Q, Size::Side(300), 0),
            (Level::H, Size::Side(1_001), 16),
            (Level::M, Size::Side(4_096), 4),
            (Level::M, Size::Module(64), 4),
        ] {
            let symbol = symbol_for_text(text, level).unwrap();
            let style = Style { size, quiet_zone, foreground: Colour::parse("10305a").unwrap(), ..Style::default() };
            let png = symbol.png(&style).unwrap();
            let picture = image::load_from_memory(&png).unwrap().to_rgb8();
            let modules = symbol.side() + 2 * quiet_zone;
            let (scale, side) = match size {
                Size::Module(scale) => (scale, scale * modules),
                Size::Side(side) => (side / modules, side),
            };
            assert_eq!(picture.dimensions(), (side, side));
            let start = scale * quiet_zone + (side - scale * modules) / 2;
            for (x, y, pixel) in picture.enumerate_pixels() {
                let module = |at: u32| at.checked_sub(start).map(|at| at / scale).filter(|at| *at < symbol.side());
                let is_dark = module(x).zip(module(y)).is_some_and(|(x, y)| symbol.is_dark(x, y));
                assert_eq!(pixel.0, if is_dark { [0x10, 0x30, 0x5A] } else { [255; 3] }, "{x},{y} at {size:?}");
            }
        }
    }

    #[test]
    fn a_transparent_background_has_no_opacity() {
        let symbol = symbol_for_text("HTTPS://GO.ACME.IO/ABCDEFGH9", Level::M).unwrap();
        let png = symbol.png(&Style { background: Background::Transparent, ..Style::default() }).unwrap();
        let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(&png)).unwrap();
        assert!(decoder.color_type().has_alpha());
        let picture = image::load_from_memory(&png).unwrap().to_rgba8();
        assert_eq!(picture.get_pixel(0, 0).0[3], 0);
        assert_eq!(picture.get_pixel(4 * 8, 4 * 8).0, [0, 0, 0, 255]);
    }

    #[test]
    fn a_symbol_of_ordinary_size_takes_less_than_a_kilobyte() {
        let symbol = symbol_for_text("HTTPS://GO.ACME.IO/ABCDEFGH9", Level::M).unwrap();
        let png = symbol.png(&Style::default()).unwrap();
        assert!(png.len() < 1_000, "{} bytes", png.len());
    }
}
