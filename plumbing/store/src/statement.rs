//! Statements: SQL text written once, loaded for each engine.

use std::sync::OnceLock;

use crate::Engine;

/// One statement. Its text uses `$1`-numbered parameters on both engines.
///
/// What both engines take and understand differently: `like` ignores the case of ASCII letters on SQLite and not on
/// PostgreSQL, so write `lower(name) like lower($1)`, which lowers ASCII letters only on both; `sum()` needs
/// `cast(sum(x) as bigint)`; `insert or replace` and `truncate` pass by triggers on rows, so neither is used.
pub struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
    numbered: OnceLock<String>,
}

impl Sql {
    /// A statement in the dialect that both engines share.
    pub const fn new(text: &'static str) -> Self {
        Self::per_engine(text, text)
    }

    /// A statement that has to differ between the engines.
    pub const fn per_engine(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres, numbered: OnceLock::new() }
    }

    /// The text that `engine` is given.
    pub fn text(&self, engine: Engine) -> &str {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Sqlite => self.numbered.get_or_init(|| numbered(self.sqlite)),
        }
    }
}

/// Rewrites `$N` to `?N` outside of quotes: to SQLite `$1` is a *named* parameter that is numbered by first appearance,
/// so that `set a = $2 where id = $1` bound by position would change nothing and say nothing.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '$' && chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push('?');
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Declares a module's statements in its `sql.rs`, each as a `static`, and all of them as `STATEMENTS`, so that a test can
/// prepare every one on both engines. A statement that must differ is written `NAME = sqlite "…" postgres "…";`.
#[macro_export]
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident = $($both:literal)? $(sqlite $sqlite:literal postgres $postgres:literal)? ;)*) => {
        $(
            $(#[$meta])*
            pub(crate) static $name: $crate::Sql = $crate::statements!(@one $($both)? $(sqlite $sqlite postgres $postgres)?);
        )*
        /// Every statement of this module.
        pub static STATEMENTS: &[&$crate::Sql] = &[$(&$name),*];
    };
    (@one $both:literal) => { $crate::Sql::new($both) };
    (@one sqlite $sqlite:literal postgres $postgres:literal) => { $crate::Sql::per_engine($sqlite, $postgres) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_parameters_are_rewritten_for_sqlite_but_not_in_quotes() {
        assert_eq!(
            numbered("update t set a = $2, b = '$3 is ''mine''' where id = $1"),
            "update t set a = ?2, b = '$3 is ''mine''' where id = ?1"
        );
    }
}
