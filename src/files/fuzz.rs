//! What reads uploads, on any bytes: for the fuzz target in `fuzz/`, and for a test on random ones.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::http::header;
use tokio::sync::Semaphore;

use super::received;
use super::types::Purpose;
use super::upload::Upload;

/// A form whose parts are separated by `--x`: reads it, and checks its files, for the purpose that the first byte chooses.
pub fn receive(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let purposes = [Purpose::JobImage, Purpose::ChatAttachment, Purpose::ProviderDocument, Purpose::GalleryImage];
    let purpose = purposes[usize::from(*first) % purposes.len()];
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let request = Request::builder().header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
        let Ok(upload) = Upload::from_request(request, &()).await else { return };
        let Ok((parts, _)) = upload.read(purpose).await else { return };
        let decoding = Arc::new(Semaphore::new(1));
        for part in parts {
            drop(received::check(purpose, part, &decoding).await);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, RgbImage};
    use proptest::prelude::*;

    use super::*;

    fn form(field: &str, name: &str, content: &[u8]) -> Vec<u8> {
        let head = format!("\u{1}--x\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), content, b"\r\n--x--\r\n"].concat()
    }

    fn picture(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let pixels = RgbImage::from_fn(24, 24, |x, y| image::Rgb([u8::try_from(x * y % 256).unwrap(), 9, 200]));
        pixels.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn pictures() -> impl Strategy<Value = Vec<u8>> {
        use ImageFormat::{Gif, Jpeg, Png, WebP};
        prop::sample::select([Png, Jpeg, Gif, WebP].map(picture).to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// A picture with bytes changed, or cut off.
        #[test]
        fn damaged_pictures_are_no_trouble(
            mut bytes in pictures(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut.index(4) == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            receive(&form("files", "picture", &bytes));
        }

        /// A form with bytes changed, or none at all.
        #[test]
        fn damaged_forms_are_no_trouble(
            name in ".{0,20}",
            content in prop::collection::vec(any::<u8>(), 0..300),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut form = form("files", &name, &content);
            for (at, byte) in changes {
                let at = at.index(form.len());
                form[at] = byte;
            }
            receive(&form);
            receive(&content);
        }
    }
}
