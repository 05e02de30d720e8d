//! The head of the request that opens a socket, which Engine.IO keeps for as long as the socket lives.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use hyper::upgrade::OnUpgrade;

use super::PATHS;

/// The headers that are read by Engine.IO and by the handshake.
const NEEDED: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// The query parameters that are read by Engine.IO.
const PARAMETERS: [&str; 2] = ["EIO=", "transport="];

/// Longer than any of these parameters with a valid value.
const MAX_PAIR_BYTES: usize = 32;

/// Reduces the head to what is read, and copies that out of the buffer it was received in. A slice of that buffer would
/// keep all of it in memory: 16 KiB, or as much as the client has sent.
pub(super) fn reduce(request: &mut Request) {
    let query = request.uri().query().unwrap_or_default().split('&');
    let needed =
        query.filter(|pair| pair.len() <= MAX_PAIR_BYTES && PARAMETERS.iter().any(|name| pair.starts_with(name)));
    if let Ok(uri) = format!("{}?{}", PATHS[1], needed.collect::<Vec<_>>().join("&")).parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    let extensions = std::mem::take(request.extensions_mut());
    if let Some(upgrade) = extensions.get::<OnUpgrade>() {
        request.extensions_mut().insert(upgrade.clone());
    }
    let headers = std::mem::take(request.headers_mut());
    let needed = NEEDED.into_iter().filter_map(|name| Some((copy_of(headers.get(&name)?)?, name)));
    *request.headers_mut() = needed.map(|(value, name)| (name, value)).collect::<HeaderMap>();
}

fn copy_of(value: &HeaderValue) -> Option<HeaderValue> {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    copy.set_sensitive(value.is_sensitive());
    Some(copy)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::extract::OriginalUri;
    use axum::http::header::{AUTHORIZATION, COOKIE};

    use super::*;

    #[test]
    fn what_is_kept_is_a_copy_of_what_is_needed() {
        let buffer = Bytes::from_static(b"/socket.io/?EIO=4&t=x&transport=websocket Bearer x a=b");
        let uri = Uri::from_maybe_shared(buffer.slice(..41)).unwrap();
        let mut request = Request::builder().uri(uri).body(Body::empty()).unwrap();
        let original = OriginalUri(request.uri().clone());
        request.extensions_mut().insert(original);
        for (name, value) in [(AUTHORIZATION, buffer.slice(42..50)), (COOKIE, buffer.slice(51..))] {
            request.headers_mut().insert(name, HeaderValue::from_maybe_shared(value).unwrap());
        }
        reduce(&mut request);

        let is_of_buffer = |bytes: &[u8]| buffer.as_ptr_range().contains(&bytes.as_ptr());
        assert_eq!(request.uri(), "/socket.io/?EIO=4&transport=websocket");
        assert!(!is_of_buffer(request.uri().path().as_bytes()));
        assert_eq!((request.headers().len(), &request.headers()[AUTHORIZATION]), (1, &"Bearer x".parse().unwrap()));
        assert!(!is_of_buffer(request.headers()[AUTHORIZATION].as_bytes()));
        assert!(request.extensions().get::<OriginalUri>().is_none());
    }
}
