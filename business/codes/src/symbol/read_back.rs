//! Reading a drawing back with a decoder that shares no code with the encoder.

use rxing::common::HybridBinarizer;
use rxing::qrcode::QRCodeReader;
use rxing::{BinaryBitmap, DecodeHints, Luma8LuminanceSource, Reader};

use super::{Raster, Style, SymbolError};

/// At most this many pixels a module are looked at, so that a large picture costs no more than a small one.
const SAMPLES: u32 = 4;

impl Raster {
    /// Reads the pixels as a camera would see them and compares what they say with `text`.
    pub(super) fn read_back(&self, style: &Style, text: &str) -> Result<(), SymbolError> {
        let (light, dark) = (style.background_colour().grey() as u8, style.foreground.grey() as u8);
        // Every module gives equally many samples: the grid of the modules stays a grid of whole pixels.
        let samples = self.scale.min(SAMPLES);
        let pixels = |i: u32| self.before % self.scale + i * self.scale / samples;
        let columns: Vec<usize> = (0..).map(|i| pixels(i) as usize).take_while(|pixel| *pixel < self.side as usize).collect();
        let rows: Vec<&Vec<u8>> = self.bands.iter().flat_map(|band| std::iter::repeat_n(&band.row, band.repeat as usize)).collect();
        let mut grey = Vec::with_capacity(columns.len() * columns.len());
        for y in &columns {
            grey.extend(columns.iter().map(|x| if rows[*y][x / 8] & (0x80 >> (x % 8)) == 0 { light } else { dark }));
        }
        // Phones take bytes that are valid UTF-8 for UTF-8; the reader's own guess would sometimes be Shift JIS.
        let hints = DecodeHints { CharacterSet: Some("UTF-8".to_owned()), ..DecodeHints::default() };
        let side = columns.len() as u32;
        let harder = DecodeHints { TryHarder: Some(true), ..hints.clone() };
        // The detector takes modules of some symbols (one in 200) for a fourth corner; those are read along their own grid.
        let pure = DecodeHints { PureBarcode: Some(true), ..hints.clone() };
        for hints in [hints, harder, pure] {
            let source = Luma8LuminanceSource::new(grey.clone(), side, side).map_err(|_| SymbolError::Unreadable)?;
            let found = QRCodeReader.decode_with_hints(&mut BinaryBitmap::new(HybridBinarizer::new(source)), &hints);
            if found.is_ok_and(|found| found.getText() == text) {
                return Ok(());
            }
        }
        Err(SymbolError::Unreadable)
    }
}
