//! Framing: bytes to messages and back, without any I/O.
//!
//! A message is a tag, a length that counts itself but not the tag, and a body
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>). The bytes may come cut anywhere.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Tag and length.
const HEADER: usize = 5;

/// The most bytes of one request, all messages up to its Sync. Parameters of 16 MB fit.
pub const MAX_REQUEST: usize = 32 << 20;

/// The most messages of one request. sqlx sends four, and closes at most a hundred statements at once.
const MAX_MESSAGES: usize = 1000;

/// The most bytes of any other message that is read as a whole. Rows pass in pieces instead. Errors and notices may quote
/// what was sent, so they may be as long as a request.
const MAX_WHOLE: usize = 1 << 20;

/// Why bytes are not a valid message.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its kind, as a letter.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// Tag and size, header included, of the message that begins here; `None` if the header is not complete.
fn header(buffer: &[u8]) -> Result<Option<(u8, usize)>, Malformed> {
    let Some([tag, length @ ..]) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if !(4..=i32::MAX.unsigned_abs()).contains(&length) {
        return Err(Malformed("the length of a message is out of range"));
    }
    Ok(Some((*tag, length as usize + 1)))
}

/// Takes a whole message of at most `limit` bytes from the beginning of `buffer`, if it is there.
fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Message>, Malformed> {
    let Some((tag, size)) = header(buffer)? else { return Ok(None) };
    if size > limit {
        return Err(Malformed("a message is too long"));
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut body = buffer.split_to(size).freeze();
    body.advance(HEADER);
    Ok(Some(Message { tag, body }))
}

/// Takes a message as a whole: any answer of a server but a row, or anything of the start-up.
///
/// # Errors
/// It is too long, or not a message.
pub fn take_whole(buffer: &mut BytesMut) -> Result<Option<Message>, Malformed> {
    let limit = if matches!(buffer.first(), Some(b'E' | b'N')) { MAX_REQUEST } else { MAX_WHOLE };
    take(buffer, limit)
}

/// What a client sends as one request: messages up to a Sync, a Query or a Terminate.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The messages, the last one included.
    Messages(Vec<Message>),
    /// It was longer than [`MAX_REQUEST`], or of more than a thousand messages; its bytes have been discarded.
    TooLong,
}

/// Reads requests.
#[derive(Debug, Default)]
pub struct RequestReader {
    messages: Vec<Message>,
    size: usize,
    /// Bytes still to come of a message that is being discarded.
    skip: usize,
    ends: bool,
    too_long: bool,
}

impl RequestReader {
    /// Takes the next whole request from `buffer`, if it is there.
    ///
    /// # Errors
    /// The client sent something that is not a message, or one that is not relayed: COPY, Flush, a function call.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, Malformed> {
        loop {
            if self.skip > 0 {
                let now = self.skip.min(buffer.len());
                buffer.advance(now);
                self.skip -= now;
                if self.skip > 0 {
                    return Ok(None);
                }
            } else {
                let Some((tag, size)) = header(buffer)? else { return Ok(None) };
                if !b"PBDECSQX".contains(&tag) {
                    return Err(Malformed("a message of this kind is not relayed (COPY, Flush, function call)"));
                }
                self.ends = b"SQX".contains(&tag);
                if self.too_long || self.size.saturating_add(size) > MAX_REQUEST || self.messages.len() >= MAX_MESSAGES
                {
                    self.too_long = true;
                    self.messages = Vec::new();
                    self.skip = size;
                    continue;
                }
                let Some(message) = take(buffer, MAX_REQUEST)? else { return Ok(None) };
                self.size += size;
                self.messages.push(message);
            }
            if self.ends {
                let Self { messages, too_long, .. } = std::mem::take(self);
                return Ok(Some(if too_long { Request::TooLong } else { Request::Messages(messages) }));
            }
        }
    }
}

/// A part of what a server sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole message, other than a row.
    Message(Message),
    /// Bytes of one or more rows as they are on the wire; the first and the last may be incomplete.
    Rows(Bytes),
}

/// Reads answers.
#[derive(Debug, Default)]
pub struct AnswerReader {
    /// Bytes still to come of the row that is being passed on.
    rest: usize,
}

impl AnswerReader {
    /// Takes the rows, or the message, at the beginning of `buffer`.
    ///
    /// # Errors
    /// The server sent something that is not a message, or a message that is too long and not a row.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Answer>, Malformed> {
        let mut end = 0;
        loop {
            let now = self.rest.min(buffer.len() - end);
            end += now;
            self.rest -= now;
            match header(&buffer[end..])? {
                Some((b'D', size)) if self.rest == 0 => self.rest = size,
                _ => break,
            }
        }
        if end > 0 {
            return Ok(Some(Answer::Rows(buffer.split_to(end).freeze())));
        }
        Ok(take_whole(buffer)?.map(Answer::Message))
    }

    /// Whether only a part of a row has been passed on.
    pub fn is_within_a_row(&self) -> bool {
        self.rest > 0
    }
}

/// Writes a message.
pub fn put(out: &mut BytesMut, tag: u8, body: &[&[u8]]) {
    let length: usize = 4 + body.iter().map(|part| part.len()).sum::<usize>();
    out.put_u8(tag);
    // A request is at most 32 MiB, and an answer is written as it was read.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for part in body {
        out.put_slice(part);
    }
}

/// The field "routine" of the errors that are written here, which marks them as the relay's.
pub const ROUTINE: &str = "stm_relay";

/// Writes an `ErrorResponse` (<https://www.postgresql.org/docs/current/protocol-error-fields.html>).
pub fn put_error(out: &mut BytesMut, severity: &str, sqlstate: &str, message: &str) {
    let (severity, sqlstate, message) = (severity.as_bytes(), sqlstate.as_bytes(), message.as_bytes());
    let routine = ROUTINE.as_bytes();
    put(out, b'E', &[b"S", severity, b"\0V", severity, b"\0C", sqlstate, b"\0M", message, b"\0R", routine, b"\0\0"]);
}

/// The text before the first NUL, and what follows it.
pub fn cut_text(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.slice(..end), bytes.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(messages: &[(u8, Vec<u8>)]) -> BytesMut {
        let mut out = BytesMut::new();
        for (tag, body) in messages {
            put(&mut out, *tag, &[body]);
        }
        out
    }

    fn messages(tags: &'static [u8]) -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
        prop::collection::vec((prop::sample::select(tags), prop::collection::vec(any::<u8>(), 0..40)), 0..12)
    }

    /// Feeds `bytes` in pieces, and collects what `next` makes of them.
    fn in_pieces<T>(
        bytes: &[u8],
        cuts: &[usize],
        mut next: impl FnMut(&mut BytesMut) -> Result<Option<T>, Malformed>,
    ) -> Vec<T> {
        let (mut buffer, mut found, mut rest) = (BytesMut::new(), Vec::new(), bytes);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(piece);
            rest = after;
            while let Some(item) = next(&mut buffer).unwrap() {
                found.push(item);
            }
            if rest.is_empty() {
                return found;
            }
        }
        found
    }

    proptest! {
        #[test]
        fn requests_are_the_same_however_they_are_cut(
            messages in messages(b"PBDECSQX"),
            cuts in prop::collection::vec(1..24_usize, 1..10),
        ) {
            let bytes = encoded(&messages);
            let mut reader = RequestReader::default();
            let requests = in_pieces(&bytes, &cuts, |buffer| reader.next(buffer));
            let whole: Vec<Request> = messages
                .split_inclusive(|(tag, _)| b"SQX".contains(tag))
                .filter(|request| request.last().is_some_and(|(tag, _)| b"SQX".contains(tag)))
                .map(|request| {
                    let message = |(tag, body): &(u8, Vec<u8>)| Message { tag: *tag, body: body.clone().into() };
                    Request::Messages(request.iter().map(message).collect())
                })
                .collect();
            prop_assert_eq!(requests, whole);
        }

        #[test]
        fn answers_are_the_same_however_they_are_cut(
            messages in messages(b"DDDCTZ"),
            cuts in prop::collection::vec(1..24_usize, 1..10),
        ) {
            let bytes = encoded(&messages);
            let mut reader = AnswerReader::default();
            let mut passed = BytesMut::new();
            for answer in in_pieces(&bytes, &cuts, |buffer| reader.next(buffer)) {
                match answer {
                    Answer::Rows(rows) => passed.extend_from_slice(&rows),
                    Answer::Message(message) => {
                        prop_assert_ne!(message.tag, b'D');
                        put(&mut passed, message.tag, &[&message.body]);
                    }
                }
            }
            prop_assert_eq!(passed, bytes);
            prop_assert!(!reader.is_within_a_row());
        }
    }

    #[test]
    fn a_request_that_is_too_long_is_passed_over_and_the_next_one_read() {
        let mut reader = RequestReader::default();
        let mut buffer = BytesMut::new();
        put(&mut buffer, b'P', &[b"\0select 1\0\0\0"]);
        buffer.put_u8(b'B');
        buffer.put_u32(40 << 20);
        assert_eq!(reader.next(&mut buffer), Ok(None));
        // Its length counts itself.
        let mut left = (40 << 20) - 4;
        let piece = vec![0; 1 << 20];
        while left > 0 {
            let now = piece.len().min(left);
            buffer.extend_from_slice(&piece[..now]);
            left -= now;
            assert_eq!(reader.next(&mut buffer), Ok(None));
            assert!(buffer.is_empty(), "nothing of it is kept");
        }
        put(&mut buffer, b'S', &[]);
        put(&mut buffer, b'S', &[]);
        assert_eq!(reader.next(&mut buffer), Ok(Some(Request::TooLong)));
        let sync = Message { tag: b'S', body: Bytes::new() };
        assert_eq!(reader.next(&mut buffer), Ok(Some(Request::Messages(vec![sync]))));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&b"S\0\0\0\x03"[..], b"S\xff\xff\xff\xff", b"H\0\0\0\x04", b"d\0\0\0\x04", b"\0\0\0\0\0"] {
            assert!(RequestReader::default().next(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
        for bytes in [&b"Z\0\0\0\x03"[..], b"T\x7f\xff\xff\xff", b"D\0\0\0\0"] {
            assert!(AnswerReader::default().next(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_row_passes_in_pieces_whatever_its_length() {
        let mut reader = AnswerReader::default();
        let mut buffer = BytesMut::from(&b"D\x40\0\0\0"[..]);
        assert_eq!(reader.next(&mut buffer), Ok(Some(Answer::Rows(Bytes::from_static(b"D\x40\0\0\0")))));
        buffer.extend_from_slice(&[0; 1000]);
        assert!(matches!(reader.next(&mut buffer), Ok(Some(Answer::Rows(rows))) if rows.len() == 1000));
        assert!(reader.is_within_a_row() && buffer.is_empty());
    }
}
