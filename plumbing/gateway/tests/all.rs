//! The gateway as callers meet it: a real store behind it, real sockets in front.

#![allow(clippy::unwrap_used, reason = "tests")]

mod all {
    pub mod card_filter;
    pub mod card_numbers;
    pub mod door;
    pub mod idempotency;
    pub mod openapi;
    pub mod ops;
    pub mod published_cards;
    pub mod server;
    pub mod tls;
    pub mod world;
}
