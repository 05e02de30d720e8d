//! Pictures: decoded within limits, turned upright, and written anew without metadata, in a size for display and a
//! small one. Blocking: it computes.

use std::io::{Cursor, Read};

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

use super::types::Kind;

/// The longest side of a picture, and of all it has, as received.
const MAX_SIDE: u32 = 16_384;
const MAX_PIXELS: u64 = 50_000_000;

/// The most pixels of a WebP, of which a few bytes may keep a decoder busy for seconds.
const MAX_WEBP_PIXELS: u64 = 16_000_000;

/// What a decoder may allocate, and what the picture may take of it: the most pixels in 24 bits.
const MAX_ALLOCATED_BYTES: u64 = 256 * 1024 * 1024;
const MAX_PICTURE_BYTES: u64 = 3 * MAX_PIXELS;

/// The longest side of a picture as it is shown, and of its small version.
const DISPLAY_SIDE: u32 = 2048;
const THUMBNAIL_SIDE: u32 = 400;

const JPEG_QUALITY: u8 = 85;

/// 1 (best) to 30 (fastest).
const GIF_SPEED: i32 = 10;

/// A picture as it is served.
#[derive(Debug)]
pub(super) struct Picture {
    pub display: Vec<u8>,
    pub thumbnail: Vec<u8>,
    pub width: u32,
    pub height: u32,
}

/// The rule that a file breaks which should be a picture, as it continues a sentence that begins with the file.
pub(super) type Rule = &'static str;

const UNREADABLE: Rule = "is damaged or incomplete: save the picture again";
const TOO_LARGE: Rule = "has too many pixels: at most 50 million (16 million of a WebP, 37 million with transparency), \
                         and 16384 on a side, are read";

/// Writes a picture anew. Of an animation the first frame stays.
pub(super) fn rewrite(mut file: impl Read, kind: Kind) -> Result<Picture, Rule> {
    let format = format_of(kind).ok_or(UNREADABLE)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|_| UNREADABLE)?;
    if format == ImageFormat::Jpeg && !is_whole_jpeg(&bytes) {
        return Err(UNREADABLE);
    }
    let picture = decode(&bytes, format)?;
    drop(bytes);
    let thumbnail = if picture.width().max(picture.height()) > THUMBNAIL_SIDE {
        encode(&picture.thumbnail(THUMBNAIL_SIDE, THUMBNAIL_SIDE), format)
    } else {
        encode(&picture, format)
    };
    let (width, height) = (picture.width(), picture.height());
    let display = encode(&picture, format).map_err(|_| UNREADABLE)?;
    Ok(Picture { display, thumbnail: thumbnail.map_err(|_| UNREADABLE)?, width, height })
}

/// Decodes a picture, turned upright, in the size for display.
fn decode(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, Rule> {
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_ALLOCATED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| rule(&error))?;
    let (width, height) = decoder.dimensions();
    let max_pixels = if format == ImageFormat::WebP { MAX_WEBP_PIXELS } else { MAX_PIXELS };
    if u64::from(width) * u64::from(height) > max_pixels || decoder.total_bytes() > MAX_PICTURE_BYTES {
        return Err(TOO_LARGE);
    }
    let orientation = decoder.orientation().map_err(|error| rule(&error))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| rule(&error))?;
    // Smaller first: turning makes a copy.
    if picture.width().max(picture.height()) > DISPLAY_SIDE {
        picture = picture.thumbnail(DISPLAY_SIDE, DISPLAY_SIDE);
    }
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Whether a JPEG has its end (ITU-T T.81, annex B): the decoder fills in what is missing.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        // A marker is 0xff and a byte that is neither: 0xff is filling, and 0x00 and restarts belong to the scan.
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=0xd7 | 0xff);
        let Some(at) = rest.windows(2).position(is_marker) else { return false };
        if rest[at + 1] == END {
            return true;
        }
        let Some(&[high, low]) = rest.get(at + 2..at + 4) else { return false };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(after) = rest.get(at + 2 + length..) else { return false };
        rest = after;
    }
}

fn rule(error: &ImageError) -> Rule {
    if matches!(error, ImageError::Limits(_)) { TOO_LARGE } else { UNREADABLE }
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let has_alpha = picture.color().has_alpha();
    match format {
        ImageFormat::Jpeg => {
            picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
        }
        ImageFormat::Gif => {
            let pixels = picture.to_rgba8();
            let mut encoder = GifEncoder::new_with_speed(&mut bytes, GIF_SPEED);
            encoder.encode(&pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgba8)?;
        }
        ImageFormat::WebP if has_alpha => {
            picture.to_rgba8().write_with_encoder(WebPEncoder::new_lossless(&mut bytes))?;
        }
        ImageFormat::WebP => picture.to_rgb8().write_with_encoder(WebPEncoder::new_lossless(&mut bytes))?,
        _ if has_alpha => picture.to_rgba8().write_to(&mut bytes, format)?,
        _ => picture.to_rgb8().write_to(&mut bytes, format)?,
    }
    Ok(bytes.into_inner())
}

fn format_of(kind: Kind) -> Option<ImageFormat> {
    match kind {
        Kind::Jpeg => Some(ImageFormat::Jpeg),
        Kind::Png => Some(ImageFormat::Png),
        Kind::Gif => Some(ImageFormat::Gif),
        Kind::Webp => Some(ImageFormat::WebP),
        Kind::Pdf | Kind::Doc | Kind::Docx | Kind::Xls | Kind::Xlsx | Kind::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = image::RgbImage::from_fn(40, 40, |x, y| {
            image::Rgb([x, y, x ^ y].map(|value| u8::try_from(value * 6 % 256).unwrap()))
        });
        picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_jpeg_without_its_end_is_damaged() {
        let jpeg = jpeg();
        assert!(rewrite(&*jpeg, Kind::Jpeg).is_ok());
        for length in [3, 20, jpeg.len() / 2, jpeg.len() - 2] {
            assert_eq!(rewrite(&jpeg[..length], Kind::Jpeg).err(), Some(UNREADABLE), "{length}");
        }
        let with_more = [&*jpeg, b"made by a telephone"].concat();
        assert!(rewrite(&*with_more, Kind::Jpeg).is_ok());
    }

    /// An animated `WebP` of the same frame twice.
    fn animation() -> Vec<u8> {
        let mut still = Vec::new();
        image::RgbaImage::new(8, 6).write_with_encoder(WebPEncoder::new_lossless(&mut still)).unwrap();
        let chunk = |name: &[u8], content: &[u8]| {
            [name, &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
        };
        let size = [7, 0, 0, 5, 0, 0];
        // Offset, size, 100 ms, no blending; then the still picture's only chunk.
        let frame = chunk(b"ANMF", &[&[0; 6], &size[..], &[100, 0, 0, 2], &still[12..]].concat());
        let content = [
            &b"WEBP"[..],
            &chunk(b"VP8X", &[&[0x12, 0, 0, 0], &size[..]].concat()),
            &chunk(b"ANIM", &[0; 6]),
            &frame,
            &frame,
        ];
        chunk(b"RIFF", &content.concat())
    }

    #[test]
    fn of_an_animation_the_first_frame_stays() {
        let picture = rewrite(&*animation(), Kind::Webp).unwrap();
        assert_eq!((picture.width, picture.height), (8, 6));
        assert!(!picture.display.windows(4).any(|window| window == b"ANIM" || window == b"ANMF"));
    }

    #[test]
    fn pictures_are_shown_smaller_and_small() {
        let mut png = Cursor::new(Vec::new());
        image::RgbaImage::new(3000, 20).write_to(&mut png, ImageFormat::Png).unwrap();
        let picture = rewrite(&**png.get_ref(), Kind::Png).unwrap();
        assert_eq!((picture.width, picture.height), (2048, 14));
        assert_eq!(image::load_from_memory(&picture.thumbnail).unwrap().width(), 400);
    }
}
