//! Risk on a real database: what is decided by which rule, what counts, and who may change it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "all/decide.rs"]
mod decide;
#[path = "all/figure.rs"]
mod figure;
#[path = "all/http.rs"]
mod http;
#[path = "all/limits.rs"]
mod limits;
#[path = "all/races.rs"]
mod races;
#[path = "all/rules.rs"]
mod rules;
#[path = "all/sweep.rs"]
mod sweep;
#[path = "all/world.rs"]
mod world;
