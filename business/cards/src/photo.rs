//! A photo: taken in as JPEG, PNG or WebP, given out as a square JPEG without a trace of where it was taken. No I/O.

use std::fmt;
use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use kernel::{Fault, FieldFault, Kind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The most bytes of an upload.
pub const UPLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most pixels of an upload's side.
pub const SIDE_MAX: u32 = 8_000;
/// The most bytes that its pixels may take, decoded.
pub const DECODED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The pixels of a page photo's side.
pub const PAGE_SIDE: u32 = 512;
/// The most bytes of the photo inside a vCard.
pub const VCARD_BYTES_MAX: usize = 100_000;
/// The most scans of a JPEG: a progressive one has about ten, a hostile one thousands, and each costs a pass over all pixels.
const SCANS_MAX: usize = 100;

/// The hash of a photo's content: the name that it is served under, so that it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PhotoHash([u8; 16]);

impl PhotoHash {
    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bits = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(Self(bits.to_be_bytes()))
    }

    fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }
}

impl fmt::Display for PhotoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for PhotoHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PhotoHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not the hash of a photo"))
    }
}

/// A photo, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// The hash of the page's form.
    pub hash: PhotoHash,
    /// A square JPEG for the page, at most 512 pixels a side.
    pub page: Vec<u8>,
    /// A square JPEG for vCards, at most 100,000 bytes.
    pub vcard: Vec<u8>,
}

/// Why a picture is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhotoError {
    /// Too many bytes.
    #[error("the photo is larger than 2 MiB")]
    TooLarge,
    /// None of the three formats.
    #[error("the photo must be a JPEG, PNG or WebP file")]
    UnknownFormat,
    /// More pixels than a photo of a person needs, as a file meant to exhaust memory has.
    #[error("the photo has more than {SIDE_MAX} pixels a side, or takes more than 128 MiB decoded")]
    TooManyPixels,
    /// Fewer pixels than a face needs.
    #[error("the photo must have at least 64 pixels a side")]
    TooSmall,
    /// The file is cut off or damaged.
    #[error("the photo cannot be read: the file is damaged")]
    Damaged,
}

impl Fault for PhotoError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "photo_too_large",
            Self::UnknownFormat => "photo_format_unknown",
            Self::TooManyPixels => "photo_too_many_pixels",
            Self::TooSmall => "photo_too_small",
            Self::Damaged => "photo_damaged",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        vec![FieldFault::new("photo", self.to_string())]
    }
}

/// Reads an upload and makes both forms of it. Takes tens to hundreds of milliseconds of a processor: run it on a thread
/// that may block.
pub fn prepare(upload: &[u8]) -> Result<Photo, PhotoError> {
    let image = decode(upload)?;
    let square = square(image);
    let page_side = square.width().min(PAGE_SIDE);
    let page = encode(&scaled(&square, page_side), 86)?;
    let vcard = [(512, 82), (512, 70), (384, 80), (384, 65), (256, 75), (256, 50), (128, 50)]
        .into_iter()
        .find_map(|(side, quality)| {
            encode(&scaled(&square, side.min(page_side)), quality).ok().filter(|jpeg| jpeg.len() <= VCARD_BYTES_MAX)
        })
        .ok_or(PhotoError::Damaged)?;
    Ok(Photo { hash: PhotoHash::of(&page), page, vcard })
}

fn decode(upload: &[u8]) -> Result<DynamicImage, PhotoError> {
    if upload.len() > UPLOAD_BYTES_MAX {
        return Err(PhotoError::TooLarge);
    }
    // By the first bytes: what the sender calls it does not matter.
    let format = match image::guess_format(upload) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err(PhotoError::UnknownFormat),
    };
    if format == ImageFormat::Jpeg && upload.windows(2).filter(|pair| *pair == [0xff, 0xda]).count() > SCANS_MAX {
        return Err(PhotoError::TooManyPixels);
    }
    let refused = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => PhotoError::TooManyPixels,
        _ => PhotoError::Damaged,
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(upload), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(refused)?;
    // Not every decoder minds the limits, so they are checked here, before the first pixel has a place.
    let (width, height) = decoder.dimensions();
    limits.check_dimensions(width, height).map_err(refused)?;
    if decoder.total_bytes() > DECODED_BYTES_MAX {
        return Err(PhotoError::TooManyPixels);
    }
    if width.min(height) < 64 {
        return Err(PhotoError::TooSmall);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(refused)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The middle square; of an upright picture rather its upper part, where the face is.
fn square(image: DynamicImage) -> RgbImage {
    let side = image.width().min(image.height());
    let (left, top) = ((image.width() - side) / 2, (image.height() - side) / 4);
    let cropped = image.crop_imm(left, top, side, side);
    // A box filter brings a large picture near its size, cheaply; the fine filter finishes it.
    let near = if side > 4 * PAGE_SIDE { cropped.thumbnail_exact(2 * PAGE_SIDE, 2 * PAGE_SIDE) } else { cropped };
    if !near.color().has_alpha() {
        return near.into_rgb8();
    }
    // What shows through is white, as on the page.
    let clear = near.into_rgba8();
    RgbImage::from_fn(clear.width(), clear.height(), |x, y| {
        let [red, green, blue, alpha] = clear.get_pixel(x, y).0.map(u32::from);
        image::Rgb([red, green, blue].map(|part| u8::try_from((part * alpha + 255 * (255 - alpha)) / 255).unwrap_or(255)))
    })
}

fn scaled(square: &RgbImage, side: u32) -> RgbImage {
    if square.width() == side { square.clone() } else { image::imageops::resize(square, side, side, FilterType::Lanczos3) }
}

/// A JPEG of nothing but the pixels: neither place nor camera nor thumbnail of the upload gets into it.
fn encode(image: &RgbImage, quality: u8) -> Result<Vec<u8>, PhotoError> {
    let mut jpeg = Vec::with_capacity(64 * 1024);
    JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(image).map_err(|_| PhotoError::Damaged)?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            // The left half red, the right half blue, with some texture.
            let texture = ((x * 7 + y * 13) % 32) as u8;
            if x < width / 2 { image::Rgb([200 + texture, 10, 10]) } else { image::Rgb([10, 10, 200 + texture]) }
        })
    }

    fn file(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// Puts an EXIF block with an orientation and a place name behind the start of a JPEG.
    fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut tiff = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        tiff.extend([orientation, 0, 0, 0, 0, 0, 0]);
        tiff.extend(b"GPS-SECRET-PLACE");
        let mut out = jpeg[..2].to_vec();
        out.extend([0xff, 0xe1]);
        out.extend(u16::try_from(tiff.len() + 2).unwrap().to_be_bytes());
        out.extend(tiff);
        out.extend(&jpeg[2..]);
        out
    }

    #[test]
    fn each_format_becomes_a_square_jpeg_within_the_vcards_limit() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let photo = prepare(&file(&picture(1_200, 800), format)).unwrap();
            let page = image::load_from_memory_with_format(&photo.page, ImageFormat::Jpeg).unwrap();
            assert_eq!((page.width(), page.height()), (512, 512));
            assert!(photo.vcard.len() <= VCARD_BYTES_MAX && photo.vcard.starts_with(&[0xff, 0xd8, 0xff]));
            assert_eq!(PhotoHash::parse(&photo.hash.to_string()), Some(photo.hash));
        }
    }

    #[test]
    fn noise_fits_into_a_vcard_too() {
        let mut state = 1_u32;
        let noise = RgbImage::from_fn(700, 700, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
        });
        assert!(prepare(&file(&noise, ImageFormat::Jpeg)).unwrap().vcard.len() <= VCARD_BYTES_MAX);
    }

    #[test]
    fn the_camera_s_orientation_is_applied_and_everything_else_it_wrote_is_gone() {
        let upload = with_exif(&file(&picture(400, 400), ImageFormat::Jpeg), 6);
        let photo = prepare(&upload).unwrap();
        let page = image::load_from_memory(&photo.page).unwrap().into_rgb8();
        // Turned by a quarter clockwise, the left (red) half is on top.
        assert!(page.get_pixel(200, 50).0[0] > 150 && page.get_pixel(200, 350).0[2] > 150);
        for jpeg in [&photo.page, &photo.vcard] {
            assert!(!jpeg.windows(4).any(|bytes| bytes == b"Exif" || bytes == b"GPS-"));
        }
    }

    #[test]
    fn what_shows_through_is_white() {
        let clear = image::RgbaImage::from_pixel(100, 100, image::Rgba([0, 0, 0, 0]));
        let mut bytes = Cursor::new(Vec::new());
        clear.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let page = image::load_from_memory(&prepare(bytes.get_ref()).unwrap().page).unwrap().into_rgb8();
        assert!(page.get_pixel(50, 50).0.iter().all(|part| *part > 250));
    }

    #[test]
    fn bombs_and_damage_are_refused_before_memory_is_taken() {
        let good = file(&picture(200, 200), ImageFormat::Png);
        // A PNG whose header claims 30,000 x 30,000 pixels, with the checksum made right.
        let mut bomb = good.clone();
        bomb[16..20].copy_from_slice(&30_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&30_000_u32.to_be_bytes());
        let checksum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(prepare(&bomb), Err(PhotoError::TooManyPixels));
        assert_eq!(prepare(&good[..good.len() / 2]), Err(PhotoError::Damaged));
        assert_eq!(prepare(b"<svg onload=alert(1)>"), Err(PhotoError::UnknownFormat));
        assert_eq!(prepare(b"GIF89a......................"), Err(PhotoError::UnknownFormat));
        assert_eq!(prepare(&[]), Err(PhotoError::UnknownFormat));
        assert_eq!(prepare(&vec![0; UPLOAD_BYTES_MAX + 1]), Err(PhotoError::TooLarge));
        assert_eq!(prepare(&file(&picture(10, 300), ImageFormat::Png)), Err(PhotoError::TooSmall));
        let mut scans = file(&picture(100, 100), ImageFormat::Jpeg);
        scans.extend([0xff, 0xda].repeat(SCANS_MAX + 1));
        assert_eq!(prepare(&scans), Err(PhotoError::TooManyPixels));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }
}
