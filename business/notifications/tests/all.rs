//! Verbs, SQL and deliveries on a real database, against servers that misbehave on purpose.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "all/deliveries.rs"]
mod deliveries;
#[path = "all/http.rs"]
mod http;
#[path = "all/sink.rs"]
mod sink;
#[path = "all/smtp.rs"]
mod smtp;
#[path = "all/smtp_server.rs"]
mod smtp_server;
#[path = "all/verbs.rs"]
mod verbs;
#[path = "all/web_server.rs"]
mod web_server;
#[path = "all/webhooks.rs"]
mod webhooks;
#[path = "all/world.rs"]
mod world;
