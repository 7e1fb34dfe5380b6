//! Leads on a real database: what is captured, worked on, exported and erased.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "all/capture.rs"]
mod capture;
#[path = "all/change.rs"]
mod change;
#[path = "all/erase.rs"]
mod erase;
#[path = "all/http.rs"]
mod http;
#[path = "all/list.rs"]
mod list;
#[path = "all/tell.rs"]
mod tell;
#[path = "all/world.rs"]
mod world;
