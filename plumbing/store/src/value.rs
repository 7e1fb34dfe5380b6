//! Values: what goes into a statement and what comes out of a row.

use kernel::{Id, P, Timestamp};

use crate::StoreError;

/// The parameters of a statement: `params![&id, now, name.as_str(), Some(3_i64)]`.
#[macro_export]
macro_rules! params {
    () => { &[] as &[$crate::P<'_>] };
    ($($value:expr),+ $(,)?) => { &[$($crate::Param::p(&$value)),+] as &[$crate::P<'_>] };
}

/// The same as a row that owns its values, for [`Tx::execute_many`](crate::Tx::execute_many).
#[macro_export]
macro_rules! row_params {
    ($($value:expr),+ $(,)?) => { vec![$($crate::Param::p(&$value).into_owned()),+] };
}

/// One row of an answer.
pub struct Row<'a>(pub(crate) RowOf<'a>);

pub(crate) enum RowOf<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// A column, by its position from 0 or by its name.
pub trait Index: Copy {
    #[doc(hidden)]
    fn in_sqlite(self, row: &rusqlite::Row<'_>) -> Result<usize, StoreError>;
    #[doc(hidden)]
    fn in_postgres(self, row: &tokio_postgres::Row) -> Result<usize, StoreError>;
}

impl Index for usize {
    fn in_sqlite(self, _: &rusqlite::Row<'_>) -> Result<usize, StoreError> {
        Ok(self)
    }
    fn in_postgres(self, _: &tokio_postgres::Row) -> Result<usize, StoreError> {
        Ok(self)
    }
}

impl Index for &str {
    fn in_sqlite(self, row: &rusqlite::Row<'_>) -> Result<usize, StoreError> {
        row.as_ref().column_index(self).map_err(|_| StoreError::column(self))
    }
    fn in_postgres(self, row: &tokio_postgres::Row) -> Result<usize, StoreError> {
        row.columns().iter().position(|c| c.name() == self).ok_or_else(|| StoreError::column(self))
    }
}

/// A Rust type that a column can be read as.
pub trait Column: Sized + rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a> {}

impl Column for String {}
impl Column for i64 {}
impl Column for bool {}
impl Column for Vec<u8> {}
impl Column for Option<String> {}
impl Column for Option<i64> {}
impl Column for Option<bool> {}
impl Column for Option<Vec<u8>> {}

impl Row<'_> {
    /// The value of a column.
    pub fn get<T: Column>(&self, column: impl Index) -> Result<T, StoreError> {
        match self.0 {
            RowOf::Sqlite(row) => row.get(column.in_sqlite(row)?).map_err(StoreError::sqlite),
            RowOf::Postgres(row) => row.try_get(column.in_postgres(row)?).map_err(StoreError::postgres),
        }
    }

    /// An identifier.
    pub fn id<I: Id>(&self, column: impl Index) -> Result<I, StoreError> {
        I::parse(&self.get::<String>(column)?).map_err(StoreError::decode)
    }

    /// An identifier or null.
    pub fn opt_id<I: Id>(&self, column: impl Index) -> Result<Option<I>, StoreError> {
        self.get::<Option<String>>(column)?.map(|text| I::parse(&text).map_err(StoreError::decode)).transpose()
    }

    /// An instant.
    pub fn time(&self, column: impl Index) -> Result<Timestamp, StoreError> {
        self.get(column).map(Timestamp::from_micros)
    }

    /// An instant or null.
    pub fn opt_time(&self, column: impl Index) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    /// A value kept as JSON text.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: impl Index) -> Result<T, StoreError> {
        serde_json::from_str(&self.get::<String>(column)?).map_err(StoreError::decode)
    }

    /// A value that is kept as text and parsed, such as a state's name.
    pub fn parsed<T: std::str::FromStr>(&self, column: impl Index) -> Result<T, StoreError>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.get::<String>(column)?.parse().map_err(StoreError::decode)
    }
}

/// A parameter as the drivers take it.
#[derive(Debug)]
pub(crate) struct Bound<'a>(pub(crate) &'a P<'a>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self.0 {
            P::List(values) => {
                // What `rarray` takes, as rusqlite's own `Array` binds it.
                let list: rusqlite::vtab::array::Array = values.iter().map(list_value).collect::<Vec<_>>().into();
                return Ok(ToSqlOutput::from_rc(list, c"rarray"));
            }
            P::Null => ValueRef::Null,
            P::Text(text) => ValueRef::Text(text.as_bytes()),
            P::Int(int) => ValueRef::Integer(*int),
            P::Bool(bool) => ValueRef::Integer(i64::from(*bool)),
            P::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl tokio_postgres::types::ToSql for Bound<'_> {
    fn to_sql(
        &self,
        ty: &tokio_postgres::types::Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        use tokio_postgres::types::Type;
        match self.0 {
            P::Null => Ok(tokio_postgres::types::IsNull::Yes),
            P::Text(text) => text.as_ref().to_sql(ty, out),
            P::Int(int) if *ty == Type::INT4 => i32::try_from(*int)?.to_sql(ty, out),
            P::Int(int) if *ty == Type::INT8 => int.to_sql(ty, out),
            P::Bool(bool) if *ty == Type::BOOL => bool.to_sql(ty, out),
            P::Bytes(bytes) if *ty == Type::BYTEA => bytes.as_ref().to_sql(ty, out),
            P::List(values) => Several(values.iter().collect()).to_sql(ty, out),
            other => Err(format!("a parameter {} does not fit the type {ty}", kind(other)).into()),
        }
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A value inside of a list for SQLite.
fn list_value(value: &P<'_>) -> rusqlite::types::Value {
    use rusqlite::types::Value;
    match value {
        P::Null | P::List(_) => Value::Null,
        P::Text(text) => Value::Text(text.as_ref().to_owned()),
        P::Int(int) => Value::Integer(*int),
        P::Bool(bool) => Value::Integer(i64::from(*bool)),
        P::Bytes(bytes) => Value::Blob(bytes.as_ref().to_owned()),
    }
}

/// Values of one kind, nulls among them, as an array for PostgreSQL.
#[derive(Debug)]
pub(crate) struct Several<'a>(pub(crate) Vec<&'a P<'a>>);

impl Several<'_> {
    fn each<'s, T>(&'s self, read: impl Fn(&'s P<'s>) -> Option<T>) -> Result<Vec<Option<T>>, String> {
        let one = |value: &&'s P<'s>| match value {
            P::Null => Ok(None),
            value => read(value).map(Some).ok_or_else(|| format!("a list of mixed kinds: {} in it", kind(value))),
        };
        self.0.iter().map(one).collect()
    }
}

impl tokio_postgres::types::ToSql for Several<'_> {
    fn to_sql(
        &self,
        ty: &tokio_postgres::types::Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        use tokio_postgres::types::Type;
        match *ty {
            Type::BYTEA_ARRAY => self.each(|p| if let P::Bytes(bytes) = p { Some(bytes.as_ref()) } else { None })?.to_sql(ty, out),
            Type::TEXT_ARRAY => self.each(|p| if let P::Text(text) = p { Some(text.as_ref()) } else { None })?.to_sql(ty, out),
            Type::INT8_ARRAY => self.each(|p| if let P::Int(int) = p { Some(*int) } else { None })?.to_sql(ty, out),
            Type::BOOL_ARRAY => self.each(|p| if let P::Bool(bool) = p { Some(*bool) } else { None })?.to_sql(ty, out),
            _ => Err(format!("a list does not fit the type {ty}").into()),
        }
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

fn kind(value: &P<'_>) -> &'static str {
    match value {
        P::Null => "null",
        P::Text(_) => "text",
        P::Int(_) => "bigint",
        P::Bool(_) => "boolean",
        P::Bytes(_) => "bytea",
        P::List(_) => "list",
    }
}

/// Refuses what only one engine would accept, so that both answer alike.
pub(crate) fn check(params: &[P<'_>]) -> Result<(), StoreError> {
    fn has_nul(p: &P<'_>) -> bool {
        match p {
            P::Text(text) => text.as_bytes().contains(&0),
            P::List(values) => values.iter().any(has_nul),
            _ => false,
        }
    }
    if params.iter().any(has_nul) { Err(StoreError::NulInText) } else { Ok(()) }
}
