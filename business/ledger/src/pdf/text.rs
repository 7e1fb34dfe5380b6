//! Text for a PDF: which glyphs of a font a line takes, in the order in which they stand, and how wide it is. Whole numbers
//! only: thousandths of the size of the font, and thousandths of a point on paper.
//!
//! DejaVu Sans has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew and Arabic letters; Arabic ones are joined, and what is
//! read from the right stands from the right. What it does not have, such as Chinese, stands as a box, and the page says so.

use std::collections::BTreeMap;

use pdf_writer::Str;
use pdf_writer::types::{SystemInfo, UnicodeCmap};
use rustybuzz::{Direction, UnicodeBuffer};
use subsetter::GlyphRemapper;
use unicode_bidi::ParagraphBidiInfo;

/// The collection of characters that our glyphs belong to: none of Adobe's.
pub(super) const SYSTEM: SystemInfo = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
/// What stands in the place of text that was cut.
const CUT: &str = "…";
/// Characters of a text that are looked at: more never fit.
const LOOKED_AT: usize = 600;

/// A glyph where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glyph {
    /// Its number in the part of the font that goes into the file.
    pub(super) id: u16,
    /// How far the next one stands.
    pub(super) advance: i32,
    /// How far the pen moves by itself.
    pub(super) natural: i32,
    /// How far from its place it is drawn.
    pub(super) shift: (i32, i32),
}

/// A line of text, ready to be drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Its glyphs, from left to right.
    pub(super) glyphs: Vec<Glyph>,
    /// How wide it is, in thousandths of the size.
    pub(super) width: i32,
}

impl Run {
    /// How wide it is at `size`, both in thousandths of a point.
    pub(super) fn wide(&self, size: i32) -> i32 {
        scaled(self.width, size)
    }
}

fn scaled(thousandths: i32, size: i32) -> i32 {
    (i64::from(thousandths) * i64::from(size) / 1000) as i32
}

/// A font with the glyphs that were asked for so far.
pub(super) struct Font {
    bytes: &'static [u8],
    face: rustybuzz::Face<'static>,
    buffer: Option<UnicodeBuffer>,
    used: GlyphRemapper,
    texts: BTreeMap<u16, String>,
    widths: BTreeMap<u16, i32>,
    ascii: [Option<Glyph>; 128],
    lacks: bool,
}

impl Font {
    /// The font in `bytes`; nothing where these are none.
    pub(super) fn read(bytes: &'static [u8]) -> Option<Self> {
        let face = rustybuzz::Face::from_slice(bytes, 0)?;
        Some(Self {
            bytes,
            face,
            buffer: None,
            used: GlyphRemapper::new(),
            texts: BTreeMap::new(),
            widths: BTreeMap::from([(0, 600)]),
            ascii: [None; 128],
            lacks: false,
        })
    }

    /// Whether it was asked for a character that it does not have.
    pub(super) const fn lacks(&self) -> bool {
        self.lacks
    }

    /// Font units as thousandths of the size.
    fn thousandths(&self, units: i32) -> i32 {
        units * 1000 / self.face.units_per_em()
    }

    fn glyph(&mut self, id: u16, advance: Option<i32>, shift: (i32, i32), text: &str) -> Glyph {
        self.lacks |= id == 0;
        let natural = self.thousandths(i32::from(self.face.glyph_hor_advance(rustybuzz::ttf_parser::GlyphId(id)).unwrap_or(0)));
        let id = self.used.remap(id);
        self.widths.insert(id, natural);
        if !text.is_empty() && id != 0 {
            self.texts.entry(id).or_insert_with(|| text.to_owned());
        }
        Glyph { id, advance: advance.unwrap_or(natural), natural, shift }
    }

    /// The glyphs of one line of text.
    pub(super) fn run(&mut self, text: &str) -> Run {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let glyphs = if text.is_ascii() { self.plain(&text) } else { self.shaped(&text) };
        Run { width: glyphs.iter().map(|glyph| glyph.advance).sum(), glyphs }
    }

    /// ASCII needs nothing but its glyphs, and nearly all text of a statement is ASCII.
    fn plain(&mut self, text: &str) -> Vec<Glyph> {
        let mut glyphs = Vec::with_capacity(text.len());
        for c in text.chars() {
            let slot = usize::from(c as u8 & 0x7f);
            let glyph = match self.ascii[slot] {
                Some(glyph) => glyph,
                None => {
                    let id = self.face.glyph_index(c).map_or(0, |id| id.0);
                    self.glyph(id, None, (0, 0), c.encode_utf8(&mut [0; 4]))
                }
            };
            self.ascii[slot] = Some(glyph);
            glyphs.push(glyph);
        }
        glyphs
    }

    fn shaped(&mut self, text: &str) -> Vec<Glyph> {
        let bidi = ParagraphBidiInfo::new(text, None);
        let (levels, runs) = bidi.visual_runs(0..text.len());
        let mut glyphs = Vec::with_capacity(text.len());
        for run in runs {
            let is_rtl = levels.get(run.start).is_some_and(|level| level.is_rtl());
            let part = &text[run];
            let mut buffer = self.buffer.take().unwrap_or_default();
            buffer.push_str(part);
            buffer.set_direction(if is_rtl { Direction::RightToLeft } else { Direction::LeftToRight });
            buffer.guess_segment_properties();
            let done = rustybuzz::shape(&self.face, &[], buffer);
            let mut starts: Vec<usize> = done.glyph_infos().iter().map(|glyph| glyph.cluster as usize).collect();
            starts.sort_unstable();
            starts.dedup();
            let mut last = None;
            for (glyph, place) in done.glyph_infos().iter().zip(done.glyph_positions()) {
                let cluster = glyph.cluster as usize;
                let end = starts.iter().find(|start| **start > cluster).copied().unwrap_or(part.len());
                // Of several glyphs for the same characters one says which these are.
                let said = if last == Some(cluster) { "" } else { &part[cluster..end] };
                last = Some(cluster);
                let shift = (self.thousandths(place.x_offset), self.thousandths(place.y_offset));
                let advance = self.thousandths(place.x_advance);
                glyphs.push(self.glyph(glyph.glyph_id as u16, Some(advance), shift, said));
            }
            self.buffer = Some(done.clear());
        }
        glyphs
    }

    fn wide(&mut self, text: &str, size: i32) -> i32 {
        self.run(text).wide(size)
    }

    /// The text on one line of at most `width`, cut with an ellipsis where it is longer.
    pub(super) fn fitted(&mut self, text: &str, size: i32, width: i32) -> Run {
        let whole = self.run(text);
        if whole.wide(size) <= width {
            return whole;
        }
        let letters: Vec<char> = text.chars().take(LOOKED_AT).collect();
        // The longest beginning that fits, by halving: its width grows with its letters.
        let (mut fits, mut tried) = (self.run(CUT), 0..letters.len());
        while !tried.is_empty() {
            let middle = tried.start + tried.len() / 2;
            let kept: String = letters[..=middle].iter().collect();
            let run = self.run(&format!("{}{CUT}", kept.trim_end()));
            if run.wide(size) <= width {
                (fits, tried.start) = (run, middle + 1);
            } else {
                tried.end = middle;
            }
        }
        fits
    }

    /// The text on at most `lines_max` lines of at most `width`, broken between words where that can be, cut where it is longer.
    pub(super) fn wrapped(&mut self, text: &str, size: i32, width: i32, lines_max: usize) -> Vec<Run> {
        let text: String = text.chars().take(LOOKED_AT).collect();
        let space = self.wide(" ", size);
        let mut lines: Vec<(String, i32)> = Vec::new();
        for word in text.split_whitespace() {
            let wide = self.wide(word, size);
            match lines.last_mut() {
                Some((line, so_far)) if *so_far + space + wide <= width => {
                    line.push(' ');
                    line.push_str(word);
                    *so_far += space + wide;
                }
                _ if wide <= width => lines.push((word.to_owned(), wide)),
                _ => {
                    lines.push((String::new(), 0));
                    for c in word.chars() {
                        let wide = self.wide(c.encode_utf8(&mut [0; 4]), size);
                        match lines.last_mut() {
                            Some((line, so_far)) if *so_far + wide <= width || line.is_empty() => {
                                line.push(c);
                                *so_far += wide;
                            }
                            _ => lines.push((c.to_string(), wide)),
                        }
                    }
                }
            }
        }
        let rest: Vec<String> = lines.iter().skip(lines_max.saturating_sub(1)).map(|(line, _)| line.clone()).collect();
        lines.truncate(lines_max.saturating_sub(1));
        let mut runs: Vec<Run> = lines.iter().map(|(line, _)| self.run(line)).collect();
        if !rest.is_empty() {
            runs.push(self.fitted(&rest.join(" "), size, width));
        }
        runs
    }

    /// The part of the font that is used.
    pub(super) fn subset(&self) -> Result<Vec<u8>, subsetter::Error> {
        subsetter::subset(self.bytes, 0, &self.used)
    }

    /// How far the pen moves at each glyph, from the first one on.
    pub(super) fn widths(&self) -> impl Iterator<Item = i32> {
        self.widths.values().copied()
    }

    /// Which characters the glyphs stand for, so that the text can be searched and copied.
    pub(super) fn unicode(&self) -> Vec<u8> {
        let mut map = UnicodeCmap::new(pdf_writer::Name(b"Tessera"), SYSTEM);
        for (id, text) in &self.texts {
            map.pair_with_multiple(*id, text.chars());
        }
        map.finish().into_vec()
    }

    /// Ascent, descent, height of capitals and box of the font, in thousandths of its size.
    pub(super) fn measures(&self) -> (i32, i32, i32, [i32; 4]) {
        let of = |units: i16| self.thousandths(i32::from(units));
        let all = self.face.global_bounding_box();
        let capitals = self.face.capital_height().unwrap_or(1493);
        (of(self.face.ascender()), of(self.face.descender()), of(capitals), [of(all.x_min), of(all.y_min), of(all.x_max), of(all.y_max)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn font() -> Font {
        Font::read(dejavu::sans_condensed::regular()).unwrap()
    }

    fn said(font: &Font, run: &Run) -> String {
        run.glyphs.iter().filter_map(|glyph| font.texts.get(&glyph.id).map(String::as_str)).collect()
    }

    #[test]
    fn names_of_many_alphabets_have_glyphs() {
        for name in
            ["Ngô Bảo Châu", "Σωφρονία Παπαδοπούλου", "Анна Ахматова", "Žofie Łukasiewicz", "حساب الصندوق", "חשבון", "Հաշիվ", "ანგარიში"]
        {
            let mut font = font();
            let run = font.run(name);
            assert!(!run.glyphs.is_empty() && run.width > 0 && !font.lacks(), "{name}");
        }
    }

    #[test]
    fn what_the_font_does_not_have_is_a_box_and_known_to_be_one() {
        let mut font = font();
        let run = font.run("A 会計 B");
        assert!(font.lacks());
        assert_eq!(run.glyphs.iter().filter(|glyph| glyph.id == 0).count(), 2);
        assert_eq!(said(&font, &run), "A  B");
        assert!(run.glyphs.iter().all(|glyph| glyph.advance > 0), "a box takes its place");
    }

    #[test]
    fn what_is_read_from_the_right_stands_from_the_right_and_its_letters_are_joined() {
        let mut font = font();
        let run = font.run("שלום");
        assert_eq!(said(&font, &run), "םולש");
        let joined = font.run("بيت");
        let alone: Vec<u16> = "بيت".chars().flat_map(|c| font.run(&c.to_string()).glyphs).map(|glyph| glyph.id).collect();
        assert!(joined.glyphs.iter().all(|glyph| !alone.contains(&glyph.id)), "each letter has the form of its place");
        let mixed = font.run("Rent for بيت, paid");
        assert!(said(&font, &mixed).starts_with("Rent for ") && said(&font, &mixed).ends_with(", paid"));
    }

    #[test]
    fn a_text_is_broken_between_words_and_cut_where_it_does_not_end() {
        let mut font = font();
        let lines = font.wrapped("Weekly delivery of vegetables and fruit from the market hall", 8_500, 90_000, 9);
        assert!(lines.len() > 2);
        assert!(lines.iter().all(|line| line.wide(8_500) <= 90_000));
        let words: Vec<String> = lines.iter().map(|line| said(&font, line)).collect();
        assert_eq!(words.join(" "), "Weekly delivery of vegetables and fruit from the market hall");
        let cut = font.wrapped(&"word ".repeat(100), 8_500, 90_000, 3);
        assert_eq!(cut.len(), 3);
        assert!(said(&font, &cut[2]).ends_with('…') && cut[2].wide(8_500) <= 90_000);
        let long = font.wrapped(&"x".repeat(60), 8_500, 90_000, 9);
        assert!(long.len() > 1 && long.iter().all(|line| line.wide(8_500) <= 90_000));
        assert_eq!(long.iter().map(|line| line.glyphs.len()).sum::<usize>(), 60);
        assert!(font.wrapped(" \n ", 8_500, 90_000, 3).is_empty());
    }
}
