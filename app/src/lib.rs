//! Tessera, put together: one binary whose roles serve pages and API, work off jobs, or look after the installation.
//!
//! This is where neighbours meet: the table of roles, every address, every fact with the jobs that follow, every job with
//! what it needs, and the pages that a person or a scan opens. Modules know nothing of each other beyond their floors.
//!
//! Holds no business rule and no SQL.

pub mod config;
mod dead_jobs;
mod demo;
mod greeting;
pub mod installation;
pub mod pages;
pub mod payments_commands;
mod reactions;
mod roles;
pub mod router;
mod scan_door;
mod worker;

pub use demo::{Demonstration, seed, till};
pub use greeting::{Greeting, reachable_url};
pub use installation::{Installation, InstallationError, Work};
pub use scan_door::{DoorBody, ScanDoor};
