//! Codes on a real database.

#[path = "all/scan.rs"]
mod scan;
