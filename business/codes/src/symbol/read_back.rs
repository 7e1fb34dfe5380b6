//! Reading a drawing back with a decoder that shares no code with the encoder.

use rxing::common::HybridBinarizer;
use rxing::qrcode::QRCodeReader;
use rxing::{BinaryBitmap, DecodeHints, Luma8LuminanceSource, Reader};

use super::{Raster, Style, SymbolError};

/// Modules wider than this many pixels are read from every n-th pixel, so that a large picture costs no more than a small one.
const SAMPLED_MODULE: u32 = 4;

impl Raster {
    /// Reads the pixels as a camera would see them and compares what they say with `text`.
    pub(super) fn read_back(&self, style: &Style, text: &str) -> Result<(), SymbolError> {
        let (light, dark) = (style.background_colour().grey() as u8, style.foreground.grey() as u8);
        let step = (self.scale / SAMPLED_MODULE).max(1) as usize;
        let columns: Vec<usize> = (0..self.side as usize).step_by(step).collect();
        let mut grey = Vec::with_capacity(columns.len() * columns.len());
        let rows = self.bands.iter().flat_map(|band| std::iter::repeat_n(&band.row, band.repeat as usize));
        for row in rows.step_by(step) {
            grey.extend(columns.iter().map(|x| if row[x / 8] & (0x80 >> (x % 8)) == 0 { light } else { dark }));
        }
        // Phones take bytes that are valid UTF-8 for UTF-8; the reader's own guess would sometimes be Shift JIS.
        let hints = DecodeHints { CharacterSet: Some("UTF-8".to_owned()), ..DecodeHints::default() };
        let side = columns.len() as u32;
        for hints in [hints.clone(), DecodeHints { TryHarder: Some(true), ..hints }] {
            let source = Luma8LuminanceSource::new(grey.clone(), side, side).map_err(|_| SymbolError::Unreadable)?;
            let found = QRCodeReader.decode_with_hints(&mut BinaryBitmap::new(HybridBinarizer::new(source)), &hints);
            if found.is_ok_and(|found| found.getText() == text) {
                return Ok(());
            }
        }
        Err(SymbolError::Unreadable)
    }
}
