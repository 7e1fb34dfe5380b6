//! Pages and fonts as the bytes of a PDF file (ISO 32000-1).

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::text::{Font, Run, SYSTEM};
use super::{FontError, HIGH, LEFT, Mark, Printer, RIGHT, WIDE, Weight};

/// Thousandths, as the format wants them.
fn real(thousandths: i32) -> f32 {
    thousandths as f32 / 1000.0
}

/// The glyphs of a line, each moved to where it belongs.
fn show(content: &mut Content, run: &Run, size: i32) {
    let is_raised = run.glyphs.iter().any(|glyph| glyph.shift.1 != 0);
    let pieces = if is_raised { 1 } else { run.glyphs.len().max(1) };
    for part in run.glyphs.chunks(pieces) {
        if is_raised {
            content.set_rise(real((i64::from(part[0].shift.1) * i64::from(size) / 1000) as i32));
        }
        let mut positioned = content.show_positioned();
        let mut items = positioned.items();
        let mut shown: Vec<u8> = Vec::with_capacity(part.len() * 2);
        for glyph in part {
            if glyph.shift.0 != 0 {
                flush(&mut shown, |bytes| _ = items.show(Str(bytes)));
                items.adjust(-glyph.shift.0 as f32);
            }
            shown.extend(glyph.id.to_be_bytes());
            let back = glyph.shift.0 + glyph.natural - glyph.advance;
            if back != 0 {
                flush(&mut shown, |bytes| _ = items.show(Str(bytes)));
                items.adjust(back as f32);
            }
        }
        flush(&mut shown, |bytes| _ = items.show(Str(bytes)));
    }
    if is_raised {
        content.set_rise(0.0);
    }
}

fn flush(shown: &mut Vec<u8>, show: impl FnOnce(&[u8])) {
    if !shown.is_empty() {
        show(shown);
        shown.clear();
    }
}

fn drawn(page: &[Mark]) -> Vec<u8> {
    let mut content = Content::new();
    for mark in page {
        match mark {
            Mark::Rule { y, gray } => {
                content.set_stroke_gray(real(*gray)).set_line_width(0.6);
                content.move_to(real(LEFT), real(*y)).line_to(real(RIGHT), real(*y)).stroke();
            }
            Mark::Words { x, y, size, weight, gray, run } => {
                let name = if *weight == Weight::Bold { Name(b"B") } else { Name(b"R") };
                content.begin_text().set_fill_gray(real(*gray)).set_font(name, real(*size));
                content.next_line(real(*x), real(*y));
                show(&mut content, run, *size);
                content.end_text();
            }
        }
    }
    packed(&content.finish())
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Five objects from `first` on: the font, its descendant, its descriptor, its file, its characters.
fn embed(pdf: &mut Pdf, first: i32, font: &Font, name: &[u8]) -> Result<(), FontError> {
    let [whole, descendant, descriptor, file, characters] = [0, 1, 2, 3, 4].map(|n| Ref::new(first + n));
    pdf.type0_font(whole).base_font(Name(name)).encoding_predefined(Name(b"Identity-H")).descendant_font(descendant).to_unicode(characters);
    let mut cid = pdf.cid_font(descendant);
    cid.subtype(CidFontType::Type2).base_font(Name(name)).system_info(SYSTEM).font_descriptor(descriptor);
    cid.default_width(0.0).cid_to_gid_map_predefined(Name(b"Identity"));
    cid.widths().consecutive(0, font.widths().map(|width| width as f32));
    cid.finish();
    let (ascent, descent, capitals, [left, bottom, right, top]) = font.measures();
    let mut described = pdf.font_descriptor(descriptor);
    described.name(Name(name)).flags(FontFlags::SYMBOLIC).italic_angle(0.0).stem_v(80.0);
    described.bbox(Rect::new(left as f32, bottom as f32, right as f32, top as f32));
    described.ascent(ascent as f32).descent(descent as f32).cap_height(capitals as f32).font_file2(file);
    described.finish();
    let bytes = font.subset().map_err(|_| FontError)?;
    pdf.stream(file, &packed(&bytes)).filter(Filter::FlateDecode).pair(Name(b"Length1"), bytes.len() as i32);
    pdf.stream(characters, &packed(&font.unicode())).filter(Filter::FlateDecode);
    Ok(())
}

/// The file of what was printed.
pub(super) fn file(printer: &Printer, title: &str, author: &str) -> Result<Vec<u8>, FontError> {
    let [catalog, tree, about] = [1, 2, 3].map(Ref::new);
    let (regular, bold, pages) = (10, 20, 30);
    let page = |number: usize| (Ref::new(pages + 2 * number as i32), Ref::new(pages + 2 * number as i32 + 1));
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
    pdf.document_info(about).title(TextStr(title)).author(TextStr(author)).producer(TextStr("Tessera"));
    pdf.pages(tree).kids((0..printer.pages.len()).map(|number| page(number).0)).count(printer.pages.len() as i32);
    for (number, marks) in printer.pages.iter().enumerate() {
        let (id, content) = page(number);
        let mut written = pdf.page(id);
        written.media_box(Rect::new(0.0, 0.0, real(WIDE), real(HIGH))).parent(tree).contents(content);
        written.resources().fonts().pair(Name(b"R"), Ref::new(regular)).pair(Name(b"B"), Ref::new(bold));
        written.finish();
        pdf.stream(content, &drawn(marks)).filter(Filter::FlateDecode);
    }
    embed(&mut pdf, regular, &printer.regular, b"TESSRA+DejaVuSansCondensed")?;
    embed(&mut pdf, bold, &printer.bold, b"TESSRB+DejaVuSansCondensed-Bold")?;
    Ok(pdf.finish())
}
