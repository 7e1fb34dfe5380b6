//! Migrations: forward only, checksummed, the same file for both engines.
//!
//! A file is named `NNNN_<module>_<change>.sql` and holds statements that end in `;` at the end of a line. What only one
//! engine takes stands between `-- only: sqlite` or `-- only: postgres` and `-- both`. Types are `text`, `bigint`,
//! `boolean` and `bytea`: for SQLite they become those of a STRICT table, for PostgreSQL text sorts by bytes.

use kernel::Timestamp;
use sha2::{Digest, Sha256};

use crate::{Engine, StoreError};

/// One file of the folder `migrations`.
pub struct Migration {
    /// The file's name, which orders it.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Every migration of this build, in order.
pub fn migrations() -> impl DoubleEndedIterator<Item = Migration> + ExactSizeIterator {
    FILES.iter().map(|(name, text)| Migration { name, text })
}

impl Migration {
    /// SHA-256 of the file, in hexadecimal digits: a migration that ran is never edited.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The statements for `engine`.
    pub fn statements(&self, engine: Engine) -> Vec<String> {
        let (mut statements, mut current, mut wanted, mut is_trigger) = (Vec::new(), String::new(), true, false);
        for line in self.text.lines() {
            match line.trim() {
                "-- only: sqlite" => wanted = engine == Engine::Sqlite,
                "-- only: postgres" => wanted = engine == Engine::Postgres,
                "-- both" => wanted = true,
                comment if comment.starts_with("--") => {}
                _ if !wanted => {}
                code => {
                    current.push_str(line);
                    current.push('\n');
                    let lower = current.trim_start().to_ascii_lowercase();
                    is_trigger |= lower.starts_with("create trigger") && engine == Engine::Sqlite;
                    let in_dollars = current.matches("$$").count() % 2 == 1;
                    let ends = code.ends_with(';') && !in_dollars && (!is_trigger || code.to_ascii_lowercase().ends_with("end;"));
                    if ends {
                        statements.push(dialect(current.trim(), engine));
                        current.clear();
                        is_trigger = false;
                    }
                }
            }
        }
        if !current.trim().is_empty() {
            statements.push(dialect(current.trim(), engine));
        }
        statements
    }
}

/// Maps the types of a `create table` or an added column to the engine's.
fn dialect(statement: &str, engine: Engine) -> String {
    let lower = statement.to_ascii_lowercase();
    let is_table = lower.starts_with("create table");
    if !is_table && !lower.starts_with("alter table") {
        return statement.to_owned();
    }
    let types: &[(&str, &str)] = match engine {
        Engine::Sqlite => &[("bigint", "integer"), ("boolean", "integer"), ("bytea", "blob"), ("true", "1"), ("false", "0")],
        Engine::Postgres => &[("text", "text collate \"C\"")],
    };
    let mut out = words(statement, types);
    if is_table && engine == Engine::Sqlite && !lower.trim_end_matches(';').trim_end().ends_with("strict") {
        let end = out.trim_end_matches(';').len();
        out.truncate(end);
        out.push_str(if lower.contains("without rowid") { ", strict;" } else { " strict;" });
    }
    out
}

/// Replaces whole words outside of quotes.
fn words(text: &str, replacements: &[(&str, &str)]) -> String {
    let (mut out, mut word, mut in_quotes) = (String::with_capacity(text.len() + 64), String::new(), false);
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let replaced =
            replacements.iter().find(|(from, _)| !in_quotes && word.eq_ignore_ascii_case(from)).map_or(word.as_str(), |(_, to)| to);
        out.push_str(replaced);
        word.clear();
        in_quotes ^= c == '\'';
        out.push(c);
    }
    out.truncate(out.len() - 1);
    out
}

const TABLE: &str =
    "create table if not exists schema_migrations (name text primary key, checksum text not null, applied_at bigint not null)";

/// What an installation has behind it: names and checksums, in order.
type Applied = Vec<(String, String)>;

/// Compares what ran with what this build holds, and answers what is still to run.
fn missing(applied: &Applied) -> Result<Vec<Migration>, StoreError> {
    for (name, checksum) in applied {
        match migrations().find(|m| m.name == name) {
            None => {
                tracing::warn!(name, "a newer release has migrated this database; going on, as every release runs on the next one's schema")
            }
            Some(known) if known.checksum() != *checksum => {
                return Err(StoreError::setup(format!(
                    "the migration {name} was changed after it ran: run the release that made this database"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(migrations().filter(|m| applied.iter().all(|(name, _)| name != m.name)).collect())
}

/// Brings a SQLite database up to date, each file in a transaction of its own. Answers how many files ran.
pub(crate) fn sqlite(connection: &rusqlite::Connection, now: Timestamp) -> Result<usize, StoreError> {
    let run = |sql: &str| connection.execute_batch(sql).map_err(StoreError::sqlite);
    run(TABLE)?;
    let applied = (|| {
        let mut statement = connection.prepare("select name, checksum from schema_migrations order by name")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Applied, _>>()
    })()
    .map_err(StoreError::sqlite)?;
    let missing = missing(&applied)?;
    for migration in &missing {
        run("begin immediate")?;
        for statement in migration.statements(Engine::Sqlite) {
            if let Err(error) = connection.execute_batch(&statement) {
                let _ = connection.execute_batch("rollback");
                return Err(StoreError::setup(format!("the migration {} failed: {error}", migration.name)));
            }
        }
        connection
            .execute("insert into schema_migrations values (?1, ?2, ?3)", (migration.name, migration.checksum(), now.as_micros()))
            .map_err(StoreError::sqlite)?;
        run("commit")?;
    }
    Ok(missing.len())
}

/// Brings a PostgreSQL database up to date; of two nodes that start at once one waits for the other.
pub(crate) async fn postgres(client: &tokio_postgres::Client, now: Timestamp) -> Result<usize, StoreError> {
    // A session lock, so that it outlasts the transaction of each file. The number is the word "tessera" in ASCII.
    client.batch_execute("set lock_timeout = '60s'; select pg_advisory_lock(32761237394190945)").await.map_err(StoreError::postgres)?;
    let done = postgres_locked(client, now).await;
    let _ = client.batch_execute("select pg_advisory_unlock(32761237394190945)").await;
    done
}

async fn postgres_locked(client: &tokio_postgres::Client, now: Timestamp) -> Result<usize, StoreError> {
    client.batch_execute(TABLE).await.map_err(StoreError::postgres)?;
    let rows = client.query("select name, checksum from schema_migrations order by name", &[]).await.map_err(StoreError::postgres)?;
    let applied = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let missing = missing(&applied)?;
    for migration in &missing {
        let mut script = String::from("begin;\n");
        for statement in migration.statements(Engine::Postgres) {
            script.push_str(&statement);
            script.push('\n');
        }
        let (name, checksum) = (migration.name, migration.checksum());
        script.push_str(&format!("insert into schema_migrations values ('{name}', '{checksum}', {});\ncommit;", now.as_micros()));
        if let Err(error) = client.batch_execute(&script).await {
            let _ = client.batch_execute("rollback").await;
            let words = error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{}, near {:?}", e.message(), e.position()));
            return Err(StoreError::setup(format!("the migration {name} failed: {words}")));
        }
    }
    Ok(missing.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_and_spoken_in_each_dialect() {
        let text = "-- Things.\ncreate table things (\n  id text primary key,\n  size bigint not null default 0,\n  kept boolean not null default true,\n  body bytea\n);\n\
                    -- only: sqlite\ncreate trigger keep before delete on things begin\n  select raise(abort, 'text; kept');\nend;\n-- both\ncreate index by_size on things (size);\n";
        let migration = Migration { name: "0000_test.sql", text };
        let sqlite = migration.statements(Engine::Sqlite);
        assert_eq!(sqlite.len(), 3);
        assert!(
            sqlite[0].contains("size integer not null") && sqlite[0].contains("default 1") && sqlite[0].ends_with("strict;"),
            "{}",
            sqlite[0]
        );
        assert!(sqlite[1].ends_with("end;"));
        let postgres = migration.statements(Engine::Postgres);
        assert_eq!(postgres.len(), 2);
        assert!(postgres[0].contains("id text collate \"C\" primary key") && postgres[0].contains("body bytea"), "{}", postgres[0]);
    }
}
