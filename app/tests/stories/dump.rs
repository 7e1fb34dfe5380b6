//! The database seen from outside: every row of every table, as text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::types::ValueRef;

/// How a database is reached without the store.
pub enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

/// The rows of each table, sorted.
pub type Rows = BTreeMap<String, Vec<String>>;

impl Database {
    pub fn of(config: &store::Config) -> Self {
        match &config.database_url {
            Some(url) => Self::Postgres(url.clone()),
            None => Self::Sqlite(config.sqlite_path()),
        }
    }

    /// The first column of every row, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let mut rows = statement.query([]).unwrap();
                let mut texts = Vec::new();
                while let Some(row) = rows.next().unwrap() {
                    texts.push(text_of(row.get_ref(0).unwrap()));
                }
                texts
            }
            Self::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
                let task = tokio::spawn(connection);
                let messages = client.simple_query(sql).await.unwrap();
                task.abort();
                let rows = messages.iter().filter_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                    _ => None,
                });
                rows.collect()
            }
        }
    }

    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        self.texts(sql).await.iter().map(|text| text.parse().unwrap()).collect()
    }

    async fn tables(&self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name",
            Self::Postgres(_) => "select cast(tablename as text) from pg_tables where schemaname = current_schema() order by tablename",
        };
        self.texts(sql).await
    }

    /// Everything. Bytes are shown as text where they are text, so that a name in them is found.
    pub async fn dump(&self) -> Rows {
        let mut dump = Rows::new();
        for table in self.tables().await {
            let mut rows = match self {
                Self::Sqlite(path) => sqlite_rows(path, &table),
                Self::Postgres(_) => {
                    self.texts(&format!("select cast(t as text) from \"{table}\" t")).await.iter().map(|row| with_bytes(row)).collect()
                }
            };
            rows.sort();
            dump.insert(table, rows);
        }
        assert!(dump.len() > 20, "there are more tables than these: {:?}", dump.keys());
        dump
    }
}

/// The rows that hold this text, in any case, as `table: row`.
pub fn rows_with(dump: &Rows, text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let found = dump.iter().flat_map(|(table, rows)| rows.iter().map(move |row| (table, row)));
    found.filter(|(_, row)| row.to_lowercase().contains(&text)).map(|(table, row)| format!("{table}: {row}")).collect()
}

fn sqlite_rows(path: &PathBuf, table: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(&format!("select * from \"{table}\"")).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut texts = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<String> = (0..columns).map(|column| text_of(row.get_ref(column).unwrap())).collect();
        texts.push(values.join("|"));
    }
    texts
}

fn text_of(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        // What they spell, and their digits, as PostgreSQL shows them: an identifier may be kept as bytes.
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{digits}|{}", String::from_utf8_lossy(bytes))
        }
    }
}

/// PostgreSQL shows bytes as `\x` and digits: what they spell is added.
fn with_bytes(row: &str) -> String {
    let mut out = row.to_owned();
    for part in row.split("\\x").skip(1) {
        let digits: Vec<u8> = part.bytes().take_while(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> =
            digits.chunks_exact(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        out.push('|');
        out.push_str(&String::from_utf8_lossy(&bytes));
    }
    out
}
