//! Values: the kinds that cross the border to a database, whichever it is.

use std::borrow::Cow;

use crate::Timestamp;

/// One parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum P<'a> {
    /// SQL null.
    Null,
    /// Text; must not contain NUL, which one engine accepts and the other does not.
    Text(Cow<'a, str>),
    /// A whole number (`bigint`).
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `bytea`.
    Bytes(Cow<'a, [u8]>),
    /// Several of one kind, for `= any($1)` on PostgreSQL and `in (select value from rarray($1))` on SQLite.
    List(Vec<P<'a>>),
}

impl P<'_> {
    /// The same value, on its own.
    pub fn into_owned(self) -> P<'static> {
        match self {
            P::Null => P::Null,
            P::Text(text) => P::Text(Cow::Owned(text.into_owned())),
            P::Int(int) => P::Int(int),
            P::Bool(bool) => P::Bool(bool),
            P::Bytes(bytes) => P::Bytes(Cow::Owned(bytes.into_owned())),
            P::List(values) => P::List(values.into_iter().map(P::into_owned).collect()),
        }
    }
}

/// What can be a parameter.
pub trait Param {
    /// The parameter, borrowed where it can be.
    fn p(&self) -> P<'_>;
}

impl<T: Param + ?Sized> Param for &T {
    fn p(&self) -> P<'_> {
        (**self).p()
    }
}

impl<T: Param> Param for Option<T> {
    fn p(&self) -> P<'_> {
        self.as_ref().map_or(P::Null, Param::p)
    }
}

impl Param for str {
    fn p(&self) -> P<'_> {
        P::Text(Cow::Borrowed(self))
    }
}

impl Param for String {
    fn p(&self) -> P<'_> {
        P::Text(Cow::Borrowed(self))
    }
}

impl Param for [u8] {
    fn p(&self) -> P<'_> {
        P::Bytes(Cow::Borrowed(self))
    }
}

impl Param for Vec<u8> {
    fn p(&self) -> P<'_> {
        P::Bytes(Cow::Borrowed(self))
    }
}

impl<const N: usize> Param for [u8; N] {
    fn p(&self) -> P<'_> {
        P::Bytes(Cow::Borrowed(self))
    }
}

impl Param for i64 {
    fn p(&self) -> P<'_> {
        P::Int(*self)
    }
}

impl Param for i32 {
    fn p(&self) -> P<'_> {
        P::Int(i64::from(*self))
    }
}

impl Param for u32 {
    fn p(&self) -> P<'_> {
        P::Int(i64::from(*self))
    }
}

impl Param for bool {
    fn p(&self) -> P<'_> {
        P::Bool(*self)
    }
}

impl Param for Timestamp {
    fn p(&self) -> P<'_> {
        P::Int(self.as_micros())
    }
}

impl Param for P<'_> {
    fn p(&self) -> P<'_> {
        self.clone()
    }
}
