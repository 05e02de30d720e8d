//! Files to upload.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use testing::world::World;

/// The beginning of a PDF, as much as anybody looks at.
pub const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n";

/// A picture of which no other size has the same bytes.
pub fn picture(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| Rgb([x, y, x ^ y].map(|value| u8::try_from(value % 256).expect("a byte")));
    RgbImage::from_fn(width, height, pixel).into()
}

pub fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(&picture(width, height), ImageFormat::Png)
}

/// A photo as a telephone writes it: turned by 90 degrees, which its EXIF says, as well as where it was taken.
/// Upright it is 8 pixels wide and 16 high, red above and blue below.
pub fn photo() -> Vec<u8> {
    // Shown turned clockwise, so that what is left goes up.
    let lying = RgbImage::from_fn(16, 8, |x, _| if x < 8 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let mut jpeg = Vec::new();
    lying.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 95)).expect("a picture");
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08".to_vec();
    exif.extend(b"\0\x02"); // two entries: orientation 6, and the place
    exif.extend(b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0");
    exif.extend(b"\x88\x25\0\x04\0\0\0\x01\0\0\0\0");
    exif.extend(b"\0\0\0\0GPS 40.7128 N 74.0060 W");
    let length = u16::try_from(exif.len() + 2).expect("short").to_be_bytes();
    let mut photo = jpeg[..2].to_vec();
    photo.extend(b"\xff\xe1");
    photo.extend(length);
    photo.extend(exif);
    photo.extend(&jpeg[2..]);
    photo
}

/// How many files lie in the store.
pub fn stored(world: &World) -> usize {
    fn count(path: &std::path::Path) -> usize {
        let Ok(entries) = std::fs::read_dir(path) else { return 0 };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }
    count(&world.database.files_dir())
}
