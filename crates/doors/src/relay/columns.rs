//! What a statement returns, and whether code that was written for one shape can read another.
//!
//! The `query!` macros fix at build time which Rust type each column has, and sqlx does not check that again:
//! the binary form of an `int4` decodes as a short `text`, and the other way round. So a change of columns is harmless
//! only if every earlier column is still there, in its place and under its name. Its type must have a binary form that
//! decodes the same.

use bytes::{Buf as _, Bytes};

/// The bodies of the two messages that answer a Describe of a statement.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `ParameterDescription`.
    pub parameters: Bytes,
    /// `RowDescription`; `None` for `NoData`.
    pub columns: Option<Bytes>,
}

impl Description {
    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.parameters.len() + self.columns.as_ref().map_or(0, Bytes::len)
    }

    /// Whether code that was written for `self` can send the parameters and read the rows of `now`.
    pub fn is_readable_as(&self, now: &Self) -> bool {
        if self.parameters != now.parameters {
            return false;
        }
        match (&self.columns, &now.columns) {
            (Some(first), Some(now)) => match (columns(first), columns(now)) {
                (Some(first), Some(now)) => is_readable_as(&first, now.into_iter()),
                _ => false,
            },
            (first, now) => first == now,
        }
    }
}

/// A column: its name, and its type's family.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    name: Bytes,
    family: u32,
}

impl Column {
    pub fn new(name: Bytes, type_oid: u32) -> Self {
        Self { name, family: family(type_oid) }
    }
}

/// Whether code that was written for the columns `first` can read rows of the columns `now`.
pub fn is_readable_as(first: &[Column], mut now: impl Iterator<Item = Column>) -> bool {
    first.iter().all(|first| now.next().is_some_and(|now| *first == now))
}

/// `None` if the message is not what it should be.
fn columns(message: &Bytes) -> Option<Vec<Column>> {
    let mut rest = message.clone();
    let count = rest.try_get_u16().ok()?;
    let mut columns = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (name, after) = super::frame::cut_text(&rest)?;
        rest = after;
        // Table and attribute, type, its size and modifier, format.
        if rest.remaining() < 18 {
            return None;
        }
        rest.advance(6);
        columns.push(Column::new(name, rest.get_u32()));
        rest.advance(8);
    }
    rest.is_empty().then_some(columns)
}

/// Types of one family decode the same from their binary form: integers are decoded by their length, and texts are
/// the same bytes. Any other type is a family of its own. The numbers are those of `pg_type.dat`, which never change.
const fn family(oid: u32) -> u32 {
    const INT2: u32 = 21;
    const INT4: u32 = 23;
    const INT8: u32 = 20;
    const TEXT: u32 = 25;
    const BPCHAR: u32 = 1042;
    const VARCHAR: u32 = 1043;
    match oid {
        INT2 | INT4 => INT8,
        BPCHAR | VARCHAR => TEXT,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(columns: &[(&str, u32)]) -> Description {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, oid) in columns {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0, 0, 0, 0, 7, 0, 1]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0, 4, 255, 255, 255, 255, 0, 0]);
        }
        Description { parameters: Bytes::from_static(&[0, 0]), columns: Some(body.into()) }
    }

    #[test]
    fn what_reads_the_same_is_let_through() {
        let first = described(&[("id", 23), ("name", 25)]);
        for harmless in
            [&[("id", 20), ("name", 25)][..], &[("id", 23), ("name", 1043)], &[("id", 23), ("name", 25), ("new", 16)]]
        {
            assert!(first.is_readable_as(&described(harmless)), "{harmless:?}");
        }
    }

    #[test]
    fn what_would_be_decoded_wrongly_is_not() {
        let first = described(&[("id", 23), ("name", 25)]);
        for harmful in [
            &[("id", 25), ("name", 25)][..],
            &[("name", 25), ("id", 23)],
            &[("id", 23)],
            &[("id", 23), ("nom", 25)],
            &[("id", 26), ("name", 25)],
            &[],
        ] {
            assert!(!first.is_readable_as(&described(harmful)), "{harmful:?}");
        }
        assert!(!first.is_readable_as(&Description { columns: None, ..first.clone() }));
        assert!(
            !first
                .is_readable_as(&Description { parameters: Bytes::from_static(&[0, 1, 0, 0, 0, 23]), ..first.clone() })
        );
        let cut = Description { columns: first.columns.clone().map(|columns| columns.slice(..9)), ..first.clone() };
        assert!(!first.is_readable_as(&cut) && !cut.is_readable_as(&first));
    }
}
