//! The house rules that no compiler checks. Each rule reads the tree as a map of paths to texts; a test of its own breaks it
//! once in such a map, so that a rule that no longer bites is noticed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

type Tree = BTreeMap<String, String>;

/// Crates by floor; a crate imports only from floors below its own. What stands in one row may not know each other, except
/// as [`NEIGHBOURS`] says.
const FLOORS: &[&[&str]] = &[
    &["kernel", "sim"],
    &["store"],
    &["gateway", "outbox", "cache"],
    &["notifications"],
    &["people", "ledger", "risk", "uploads"],
    &["payments", "leads", "codes"],
    &["shop", "cards", "listings"],
    &["tessera"],
    &["bench"],
];
/// Crates that nothing of the product is built with: tests and benchmarks alone may name them.
const OUTSIDERS: &[(&str, &str)] = &[("sim", "bench")];
/// Arrows inside a floor, each with a decision behind it.
const NEIGHBOURS: &[(&str, &str)] = &[];
/// Lines of code, comments included and tests at the bottom not counted, that a file may have.
const LINES_MAX: usize = 520;
/// Names that say nothing.
const BANNED: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "misc", "core", "manager", "service", "impl", "base", "data", "info"];
/// What the files of a module never mention, beside comments.
const NEVER: &[(&str, &[&str])] = &[
    ("commands", &["axum", "select ", "insert into", "delete from", "reqwest", "hyper::"]),
    ("queries", &["axum", "select ", "insert into"]),
    ("sql", &["axum", "outbox::"]),
    ("events", &["axum", "store::"]),
    ("jobs", &["axum", "select ", "insert into", "delete from"]),
    ("http", &["select ", "insert into", "delete from"]),
    ("error", &["axum"]),
];
/// The queries and verbs that look across workspaces: a scan, a sign-in, a sweep, a first start.
const EVERYWHERE: &str = include_str!("everywhere.txt");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above the app").to_owned()
}

fn tree() -> Tree {
    fn walk(root: &Path, folder: &Path, tree: &mut Tree) {
        for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | ".git" | "tessera-data") {
                    walk(root, &path, tree);
                }
            } else if [".rs", ".sql", ".toml", ".txt", ".ts", ".tsx"].iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(root).expect("it is below the root").to_string_lossy().into_owned();
                tree.insert(relative, std::fs::read_to_string(&path).expect("the file is text"));
            }
        }
    }
    let (mut tree, root) = (Tree::new(), root());
    for folder in ["plumbing", "business", "app", "bench", "sim", "migrations"] {
        walk(&root, &root.join(folder), &mut tree);
    }
    tree
}

/// The code of a file without the tests at its bottom.
fn code(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

fn uncommented(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn sources(tree: &Tree) -> impl Iterator<Item = (&String, &String)> {
    tree.iter().filter(|(path, _)| path.ends_with(".rs"))
}

fn floors(tree: &Tree) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().position(|row| row.contains(&name));
    let mut broken = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let name = text.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default().trim_matches('"');
        let Some(own) = floor(name) else {
            broken.push(format!("{path}: the crate {name} stands on no floor"));
            continue;
        };
        let imported = text.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
        for line in imported.lines() {
            let import = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if let Some((_, by)) = OUTSIDERS.iter().find(|(outsider, by)| *outsider == import && *by != name) {
                broken.push(format!("{path}: {name} imports {import}, which only tests and {by} may"));
            }
            if floor(import).is_some_and(|below| below >= own) && !NEIGHBOURS.contains(&(name, import)) {
                broken.push(format!("{path}: {name} imports {import}, which is not below it"));
            }
        }
    }
    broken
}

fn file_words(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in sources(tree).filter(|(path, _)| path.starts_with("business/") && path.contains("/src/")) {
        let Some((_, inside)) = path.split_once("/src/") else { continue };
        for part in inside.trim_end_matches(".rs").split('/') {
            for (_, words) in NEVER.iter().filter(|(name, _)| *name == part) {
                let code = uncommented(code(text)).to_lowercase();
                broken.extend(words.iter().filter(|word| code.contains(*word)).map(|word| format!("{path} mentions {word:?}")));
            }
        }
    }
    broken
}

fn names(tree: &Tree) -> Vec<String> {
    let is_banned = |part: &str| BANNED.contains(&part) || part.ends_with("_v2");
    sources(tree)
        .filter(|(path, _)| path.trim_end_matches(".rs").split('/').any(is_banned))
        .map(|(path, _)| format!("{path} has a name that says nothing"))
        .collect()
}

fn lengths(tree: &Tree) -> Vec<String> {
    sources(tree)
        .filter(|(path, text)| !path.contains("/tests/") && code(text).lines().count() > LINES_MAX)
        .map(|(path, text)| format!("{path} has {} lines: make it a folder, split by verb", code(text).lines().count()))
        .collect()
}

fn docs(tree: &Tree) -> Vec<String> {
    let mut broken: Vec<_> =
        sources(tree).filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| format!("{path} does not say what it is")).collect();
    for (path, text) in sources(tree).filter(|(path, _)| path.ends_with("/src/lib.rs")) {
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        if !(3..=30).contains(&lines) {
            broken.push(format!("{path} says what it is in {lines} lines: 5 to 15 are wanted"));
        }
    }
    broken
}

fn drivers(tree: &Tree) -> Vec<String> {
    sources(tree)
        .filter(|(path, _)| path.contains("/src/") && !path.starts_with("plumbing/store/") && !path.starts_with("bench/"))
        .filter(|(_, text)| ["rusqlite", "tokio_postgres", "deadpool"].iter().any(|driver| uncommented(text).contains(driver)))
        .map(|(path, _)| format!("{path} names a database driver"))
        .collect()
}

fn everywhere(tree: &Tree, list: &str) -> Vec<String> {
    let known: BTreeSet<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut found = BTreeSet::new();
    for (path, text) in sources(tree).filter(|(path, _)| path.starts_with("business/") && path.contains("/src/")) {
        let module = path.split('/').nth(1).unwrap_or_default();
        for line in text.lines() {
            let name = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next()).filter(|name| name.ends_with("_everywhere"));
            found.extend(name.filter(|_| !line.trim_start().starts_with("//")).map(|name| format!("{module}::{name}")));
        }
    }
    let unknown =
        found.iter().filter(|name| !known.contains(name.as_str())).map(|name| format!("{name} looks across workspaces and is not listed"));
    let gone = known.iter().filter(|name| !found.contains(**name)).map(|name| format!("{name} is listed and gone"));
    unknown.chain(gone).collect()
}

fn workspaces(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in
        sources(tree).filter(|(path, _)| path.starts_with("business/") && (path.ends_with("/sql.rs") || path.contains("/sql/")))
    {
        for statement in text.split(";\n").filter(|part| part.contains(" = \"") || part.contains(" = sqlite")) {
            let name = statement.split(" = ").next().unwrap_or_default().split_whitespace().last().unwrap_or_default();
            if name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()) && !name.is_empty() {
                let is_everywhere = name.contains("EVERYWHERE");
                if !is_everywhere && !statement.contains("workspace") {
                    broken.push(format!("{path}: {name} names no workspace; one that looks across ends in _EVERYWHERE"));
                }
            }
        }
    }
    broken
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn migrations(tree: &Tree) -> Vec<String> {
    let list = tree.get("migrations/checksums.txt").map(String::as_str).unwrap_or_default();
    let known: BTreeMap<&str, &str> = list.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    let mut broken = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with("migrations/") && path.ends_with(".sql")) {
        let name = path.trim_start_matches("migrations/");
        let is_well_named = name.len() > 5 && name.as_bytes()[..4].iter().all(u8::is_ascii_digit) && name.as_bytes()[4] == b'_';
        if !is_well_named {
            broken.push(format!("{path}: name it NNNN_<module>_<change>.sql"));
        }
        match known.get(name) {
            None => broken.push(format!("{path}: add the line `{}  {name}` to migrations/checksums.txt", checksum(text))),
            Some(sum) if **sum != checksum(text) => {
                broken.push(format!("{path} was edited after it was listed: write a new migration instead"))
            }
            Some(_) => {}
        }
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n").to_lowercase();
        if code.contains("drop table") || code.contains("drop column") || code.contains("rename") {
            broken.push(format!("{path}: expand first; what the previous release needs is dropped a release later, by a listed decision"));
        }
    }
    broken.extend(
        known.keys().filter(|name| !tree.contains_key(&format!("migrations/{name}"))).map(|name| format!("{name} is listed and gone")),
    );
    broken
}

#[track_caller]
fn hold(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn calls_go_down_only() {
    hold(floors(&tree()));
}

#[test]
fn a_file_holds_what_its_name_says() {
    hold(file_words(&tree()));
}

#[test]
fn names_say_something() {
    hold(names(&tree()));
}

#[test]
fn files_are_rooms_and_not_halls() {
    hold(lengths(&tree()));
}

#[test]
fn every_file_says_what_it_is() {
    hold(docs(&tree()));
}

#[test]
fn only_the_store_names_a_database_driver() {
    hold(drivers(&tree()));
}

#[test]
fn whoever_looks_across_workspaces_is_listed() {
    hold(everywhere(&tree(), EVERYWHERE));
    hold(workspaces(&tree()));
}

#[test]
fn migrations_are_never_edited() {
    hold(migrations(&tree()));
}

#[test]
fn each_rule_bites_when_it_is_broken() {
    let with = |path: &str, text: &str| Tree::from([(path.to_owned(), text.to_owned())]);
    let manifest = "[package]\nname = \"leads\"\n\n[dependencies]\nkernel.workspace = true\ncards.workspace = true\n";
    assert_eq!(floors(&with("business/leads/Cargo.toml", manifest)).len(), 1);
    let sideways = manifest.replace("cards", "codes");
    assert_eq!(floors(&with("business/leads/Cargo.toml", &sideways)).len(), 1);
    let outside = manifest.replace("cards", "sim");
    assert_eq!(floors(&with("business/leads/Cargo.toml", &outside)).len(), 1);
    let in_tests = outside.replace("sim.workspace = true", "\n[dev-dependencies]\nsim.workspace = true");
    assert_eq!(floors(&with("business/leads/Cargo.toml", &in_tests)).len(), 0);
    assert_eq!(file_words(&with("business/leads/src/commands/keep.rs", "//! x\nuse axum::Router;\n")).len(), 1);
    assert_eq!(file_words(&with("business/leads/src/http.rs", "//! x\nconst Q: &str = \"select 1\";\n")).len(), 1);
    assert_eq!(file_words(&with("business/leads/src/sql.rs", "//! x\nfn f() { outbox::publish() }\n")).len(), 1);
    assert_eq!(file_words(&with("business/leads/src/http.rs", "//! x\n// select nothing here\n")).len(), 0);
    assert_eq!(names(&with("business/leads/src/utils.rs", "//! x\n")).len(), 1);
    assert_eq!(names(&with("business/leads/src/lead_v2.rs", "//! x\n")).len(), 1);
    assert_eq!(lengths(&with("business/leads/src/lead.rs", &"//! x\n".repeat(LINES_MAX + 1))).len(), 1);
    assert_eq!(docs(&with("business/leads/src/lead.rs", "fn f() {}\n")).len(), 1);
    assert_eq!(docs(&with("business/leads/src/lib.rs", "//! Too short.\n")).len(), 1);
    assert_eq!(drivers(&with("business/leads/src/sql.rs", "//! x\nuse rusqlite::Row;\n")).len(), 1);
    assert_eq!(everywhere(&with("business/leads/src/queries.rs", "//! x\npub async fn all_everywhere() {}\n"), "").len(), 1);
    assert_eq!(everywhere(&Tree::new(), "leads::all_everywhere\n").len(), 1);
    assert_eq!(workspaces(&with("business/leads/src/sql.rs", "//! x\n    ALL = \"select id from leads\";\n")).len(), 1);
    let migration = with("migrations/0001_x_y.sql", "create table t (id text primary key);\n");
    assert_eq!(migrations(&migration).len(), 1, "it is not listed");
    let mut edited = migration.clone();
    edited.insert("migrations/checksums.txt".into(), format!("{}  0001_x_y.sql\n", checksum("before")));
    assert_eq!(migrations(&edited).len(), 1, "it was edited");
    edited.insert(
        "migrations/checksums.txt".into(),
        format!("{}  0001_x_y.sql\n{}  0002_gone.sql\n", checksum(&edited["migrations/0001_x_y.sql"]), checksum("")),
    );
    assert_eq!(migrations(&edited).len(), 1, "one is gone");
    assert_eq!(
        refused_licences(
            r#"{"packages":[{"name":"x","license":"GPL-3.0","source":"registry+https://github.com/rust-lang/crates.io-index"}]}"#,
            &["MIT".into()]
        )
        .len(),
        1
    );
    assert_eq!(
        refused_licences(r#"{"packages":[{"name":"x","license":"MIT","source":"git+https://example.com/x"}]}"#, &["MIT".into()]).len(),
        1
    );
}

/// The licences of `deny.toml`.
fn allowed_licences() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    let list = text.lines().find_map(|line| line.strip_prefix("allow = [")).expect("deny.toml lists the licences that are allowed");
    list.trim_end_matches(']').split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect()
}

/// Dependencies whose licence expression cannot be met by the allowed ones, or that come from elsewhere than the registry.
fn refused_licences(metadata: &str, allowed: &[String]) -> Vec<String> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).expect("cargo metadata answers JSON");
    let mut refused = Vec::new();
    for package in metadata["packages"].as_array().expect("there are packages") {
        let Some(source) = package["source"].as_str() else { continue };
        let name = package["name"].as_str().unwrap_or_default();
        if !source.starts_with("registry+") {
            refused.push(format!("{name} comes from {source}"));
        }
        let expression = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let is_allowed = |text: &str| allowed.iter().any(|licence| licence == text.trim().trim_matches(['(', ')']).trim());
        // `A OR B` needs one, `A AND B` every one of its parts; parentheses only group an OR inside an AND.
        let is_met = expression.split(" AND ").all(|part| part.split(" OR ").any(is_allowed)) || expression.split(" OR ").any(is_allowed);
        if !is_met {
            refused.push(format!("{name} has the licence {expression:?}"));
        }
    }
    refused
}

#[test]
fn licences_and_sources_are_those_that_we_allow() {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    hold(refused_licences(&String::from_utf8_lossy(&output.stdout), &allowed_licences()));
}
