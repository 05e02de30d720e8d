//! Any bytes, from both sides: no panic, and no more memory than is allowed.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::conversation::{Conversation, Next, Out, Shared};
use super::frame::{AnswerReader, RequestReader};
use crate::limits::{LimitSet, TimeLimits};

/// The most that may wait to be sent after one piece was read: a request, its opening, a description.
const MAX_OUT: usize = 40 << 20;

/// Reads `data` as a conversation in pieces: one byte with the side and the length, then that many bytes.
pub fn converse(data: &[u8]) {
    let limits = TimeLimits::new(Duration::from_secs(5));
    // Both with a statement in front and without.
    if data.len().is_multiple_of(2) {
        limits.leave_to_role(LimitSet::ALL);
    }
    let mut conversation = Conversation::new(Arc::new(Shared::new(limits.into(), data.len() % 4 > 1)));
    let (mut requests, mut answers) = (RequestReader::default(), AnswerReader::default());
    let (mut from_client, mut from_server) = (BytesMut::new(), BytesMut::new());
    let mut data = data;
    while let Some((head, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(head >> 1)));
        data = rest;
        let from = if head & 1 == 0 { &mut from_client } else { &mut from_server };
        from.extend_from_slice(piece);
        // As `connection.rs` does; an error ends both connections.
        loop {
            match answers.next(&mut from_server) {
                Ok(Some(answer)) => {
                    let mut out = Out::default();
                    if conversation.on_answer(answer, &mut out).is_err() {
                        return;
                    }
                    check(&conversation, &out);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        while !conversation.awaits_answer() {
            match requests.next(&mut from_client) {
                Ok(Some(request)) => {
                    let mut out = Out::default();
                    if conversation.on_request(request, &mut out) != Ok(Next::Continues) {
                        return;
                    }
                    check(&conversation, &out);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn check(conversation: &Conversation, out: &Out) {
    assert!(out.to_client.len() + out.to_server.len() <= MAX_OUT);
    assert!(out.to_server.is_empty() || conversation.awaits_answer(), "whatever is sent is answered");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::put;
    use super::*;

    /// Messages that are nearly right: the tags, texts and names of real ones in any order, now and then damaged.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let body = prop_oneof![
            prop::sample::select(vec![
                &b""[..],
                b"I",
                b"T",
                b"E",
                b"\0",
                b"P\0",
                b"S\0",
                b"Ss\0",
                b"\0\0\0\0\0",
                b"s\0select 1\0\0\0",
                b"\0select 1\0\0\0",
                b"\0s\0\0\0\0\0\0\0",
                b"\0\0\0\0\0\0\0\0",
                b"begin\0",
                b"begin read only; set local a = 1\0",
                b"COMMIT\0",
                b"ROLLBACK\0",
                b"BEGIN\0",
                b"SELECT 1\0",
                b"select 1\0",
                b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01",
                b"SERROR\0C42P01\0\0",
            ])
            .prop_map(<[u8]>::to_vec),
            prop::collection::vec(any::<u8>(), 0..30),
        ];
        let tag = prop_oneof![9 => prop::sample::select(b"PBDECSQX123tTnDCIEZNSAs".to_vec()), 1 => any::<u8>()];
        (tag, body).prop_map(|(tag, body)| {
            let mut message = BytesMut::new();
            put(&mut message, tag, &[&body]);
            message.to_vec()
        })
    }

    /// Tags and bodies.
    type Messages<'a> = &'a [(u8, &'a [u8])];

    /// What both sides say in turn when all is well, as pieces of a conversation.
    fn scripts() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
        let script = |parts: &[(bool, Messages<'_>)]| -> Vec<(bool, Vec<u8>)> {
            let encode = |messages: Messages<'_>| {
                let mut bytes = BytesMut::new();
                for (tag, body) in messages {
                    put(&mut bytes, *tag, &[body]);
                }
                bytes.to_vec()
            };
            parts.iter().map(|(server, messages)| (*server, encode(messages))).collect()
        };
        let columns = &b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01"[..];
        let opened: [(u8, &[u8]); 4] = [(b'1', b""), (b'2', b""), (b'D', b"\0\0"), (b'C', b"SELECT 1\0")];
        let described: [(u8, &[u8]); 4] = [(b'1', b""), (b't', b"\0\0"), (b'T', columns), (b'Z', b"I")];
        let prepare: Messages<'_> = &[(b'P', b"s\0select 1\0\0\0"), (b'D', b"Ss\0"), (b'S', b"")];
        let execute: &[(u8, &[u8])] =
            &[(b'B', b"\0s\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0"), (b'C', b"P\0"), (b'S', b"")];
        let executed: [(u8, &[u8]); 8] = [
            (b'1', b""),
            (b't', b"\0\0"),
            (b'T', columns),
            (b'2', b""),
            (b'D', b"\0\0"),
            (b'C', b"SELECT 1\0"),
            (b'3', b""),
            (b'Z', b"T"),
        ];
        let begun: [(u8, &[u8]); 3] = [(b'1', b""), (b'2', b""), (b'C', b"BEGIN\0")];
        prop::sample::select(vec![
            script(&[
                (false, prepare),
                (true, &opened),
                (true, &described),
                (false, execute),
                (true, &opened),
                (true, &executed),
            ]),
            script(&[
                (false, prepare),
                (true, &opened),
                (true, &described),
                (false, &[(b'Q', b"begin\0")]),
                (false, execute),
                (true, &begun),
                (true, &executed),
                (false, &[(b'Q', b"ROLLBACK\0"), (b'S', b"")]),
                (false, execute),
                (true, &[(b'C', b"ROLLBACK\0"), (b'Z', b"I")]),
                (true, &opened),
                (true, &executed),
            ]),
        ])
    }

    fn encode(pieces: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (server, bytes) in pieces {
            for piece in bytes.chunks(127) {
                data.push(u8::try_from(piece.len()).unwrap() << 1 | u8::from(*server));
                data.extend_from_slice(piece);
            }
        }
        data
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_end_in_an_answer_or_an_error(
            mut pieces in scripts(),
            more in prop::collection::vec((any::<bool>(), message()), 0..20),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            from in 0..12_usize,
        ) {
            pieces.truncate(from);
            pieces.extend(more);
            let mut data = encode(&pieces);
            converse(&data);
            for (at, byte) in damage {
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] = byte;
                }
            }
            converse(&data);
        }
    }
}
