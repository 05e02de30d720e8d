//! Framing: bytes to messages and back, without any I/O.
//!
//! A message is a tag, a length that counts itself but not the tag, and a body
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>). The bytes may come cut anywhere.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Tag and length.
const HEADER: usize = 5;

/// The most bytes of one request, all messages up to its Sync. Parameters of 16 MB fit.
pub const MAX_REQUEST: usize = 32 << 20;

/// The most bytes of a server's message that is read as a whole. Rows are not: they pass in pieces.
const MAX_ANSWER: usize = 1 << 20;

/// Bytes that are no message, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
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

/// Takes a server's message as a whole, whatever it is.
///
/// # Errors
/// It is too long, or none.
pub fn take_answer(buffer: &mut BytesMut) -> Result<Option<Message>, Malformed> {
    take(buffer, MAX_ANSWER)
}

/// What a client asks for at once: messages up to a Sync, a Query or a Terminate.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The messages, the last one included.
    Messages(Vec<Message>),
    /// It was longer than [`MAX_REQUEST`]; its bytes are gone.
    TooLong,
}

/// Reads requests.
#[derive(Debug, Default)]
pub struct RequestReader {
    messages: Vec<Message>,
    size: usize,
    /// Bytes still to come of a message that is passed over, and whether it ends its request.
    skip: usize,
    ends: bool,
    too_long: bool,
}

impl RequestReader {
    /// Takes the next whole request from `buffer`, if it is there.
    ///
    /// # Errors
    /// The client sent what is no message, or one that belongs to no request we know: COPY, Flush, a function call.
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
                if self.too_long || self.size.saturating_add(size) > MAX_REQUEST {
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

/// What a server says.
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
    /// Bytes still to come of the row that passes.
    rest: usize,
}

impl AnswerReader {
    /// Takes what there is at the beginning of `buffer`.
    ///
    /// # Errors
    /// The server sent what is no message, or a longer one than any but a row can be.
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
        Ok(take_answer(buffer)?.map(Answer::Message))
    }

    /// Is a row passing of which the client has a part?
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
    body.iter().for_each(|part| out.put_slice(part));
}

/// Writes an `ErrorResponse` (<https://www.postgresql.org/docs/current/protocol-error-fields.html>).
pub fn put_error(out: &mut BytesMut, severity: &str, sqlstate: &str, message: &str) {
    let (severity, sqlstate, message) = (severity.as_bytes(), sqlstate.as_bytes(), message.as_bytes());
    put(out, b'E', &[b"S", severity, b"\0V", severity, b"\0C", sqlstate, b"\0M", message, b"\0\0"]);
}

/// The text before the first NUL, and what follows it.
pub fn cut_text(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.slice(..end), bytes.slice(end + 1..)))
}
