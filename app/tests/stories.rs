//! What people do, told through the public door of a whole installation: `cargo test -p tessera --test stories`.
//!
//! The same stories run on PostgreSQL where `TESSERA_TEST_DATABASE` names a server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "stories/card_numbers.rs"]
mod card_numbers;
#[path = "stories/client.rs"]
mod client;
#[path = "stories/codes.rs"]
mod codes;
#[path = "stories/document.rs"]
mod document;
#[path = "stories/dump.rs"]
mod dump;
#[path = "stories/ledger.rs"]
mod ledger;
#[path = "stories/ledger_commands.rs"]
mod ledger_commands;
#[path = "stories/ledger_pages.rs"]
mod ledger_pages;
#[path = "stories/node.rs"]
mod node;
#[path = "stories/parties.rs"]
mod parties;
#[path = "stories/payment_safety.rs"]
mod payment_safety;
#[path = "stories/payments.rs"]
mod payments;
#[path = "stories/payments_commands.rs"]
mod payments_commands;
#[path = "stories/payouts.rs"]
mod payouts;
#[path = "stories/people_and_leads.rs"]
mod people_and_leads;
#[path = "stories/restart.rs"]
mod restart;
#[path = "stories/scan_to_lead.rs"]
mod scan_to_lead;
#[path = "stories/scans.rs"]
mod scans;
#[path = "stories/signing_in.rs"]
mod signing_in;
#[path = "stories/smtp.rs"]
mod smtp;
#[path = "stories/strangers.rs"]
mod strangers;
#[path = "stories/symbols.rs"]
mod symbols;
#[path = "stories/two_processes.rs"]
mod two_processes;
#[path = "stories/world.rs"]
mod world;
