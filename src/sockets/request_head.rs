//! The head of the request that opens a socket, which Engine.IO keeps for as long as the socket lives.

use axum::extract::Request;
use axum::http::{HeaderValue, Uri};

/// Copies the URI and the headers' values out of the buffer that they were read into. As slices they would keep all 16 KiB
/// of it.
pub(super) fn copy_out(request: &mut Request) {
    if let Ok(uri) = request.uri().to_string().parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    for value in request.headers_mut().values_mut() {
        let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) else { continue };
        copy.set_sensitive(value.is_sensitive());
        *value = copy;
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::http::header::COOKIE;

    use super::*;

    #[test]
    fn what_is_kept_is_a_copy() {
        let buffer = Bytes::from_static(b"/socket.io/?EIO=4 a=b");
        let head = || (buffer.slice(..17), buffer.slice(18..));
        let (uri, cookie) = head();
        let mut request = Request::builder().uri(Uri::from_maybe_shared(uri).unwrap()).body(Body::empty()).unwrap();
        request.headers_mut().insert(COOKIE, HeaderValue::from_maybe_shared(cookie).unwrap());
        let places = |request: &Request| (request.uri().path().as_ptr(), request.headers()[COOKIE].as_bytes().as_ptr());
        let before = places(&request);
        copy_out(&mut request);
        let after = places(&request);
        assert!(before.0 != after.0 && before.1 != after.1);
        assert_eq!(
            (request.uri().to_string(), &request.headers()[COOKIE]),
            ("/socket.io/?EIO=4".into(), &"a=b".parse().unwrap())
        );
    }
}
