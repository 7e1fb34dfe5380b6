//! Leads on a real database: what is captured, worked on, exported and erased.

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
