//! Gateway: the door. Callers, rate limits, idempotency, problems, limits of size and time, pages, TLS, OpenAPI.
//!
//! Invariants:
//! - Every answer passes the [`Door`]: it has a request id, security headers and `no-store` unless it says otherwise; what
//!   is our own fault is logged once, with its chain, and never shown.
//! - A request with a session cookie that may change something comes from one of our own pages, or is refused.
//! - An effect and the answer recorded under its `Idempotency-Key` commit together, or neither does ([`effect`]); an answer
//!   with a secret is never recorded; nobody sees the recorded answer of another caller, address or body.
//! - No request with a card number is let in ([`card_numbers`]), but where a route redacts it.
//! - Behind the extractors there is no NUL, no text that is not UTF-8, no JSON key twice, no body beyond its route's limit.
//! - Forwarding headers count only from configured proxies. Neither addresses nor query strings are logged or kept.
//! - A connection to where somebody else wants it goes to a public address, or to one that the operator named ([`Exit`]).
//! - Everything waits for a bounded time and holds a bounded memory: headers, bodies, handlers, connections, buckets.
//!
//! Knows no business word: `people` implements [`Doorkeeper`], `app` hands it over.

mod answer;
mod call;
pub mod card_numbers;
mod door;
mod effect;
mod exit;
mod extract;
mod limits;
mod meter;
pub mod openapi;
mod ops;
pub mod page;
mod problem;
mod proxies;
mod server;
mod shutdown;
mod sql;
pub mod table;
mod tls;

pub use answer::{Answer, List, PageQuery};
pub use call::{Call, Doorkeeper, NobodyKnown, Resolving, session_cookie, session_cookie_cleared, session_cookie_name, session_token_in};
pub use door::{Door, DoorSettings, Doorway};
pub use effect::{SWEEP_MAX, effect, effect_bulk, effect_created, effect_done, effect_secret, erase_answers, sweep_expired};
pub use exit::{AllowedNetworks, Exit, PlaceError, Refused, Resolve, SystemResolver, connect};
pub use extract::{BODY_MAX, BodyLimit, Form, Json, Path, Query, RawBody, body_limit, from_json};
pub use limits::{Allowance, Class, LimitSettings, Limits, Rate};
pub use ops::{Ops, Readiness, ops_routes, private_blocks};
pub use problem::{FieldView, Problem, ProblemPage, ProblemView};
pub use proxies::{Block, BlockError, Origin, Peer, Proxies};
pub use server::{RouterService, ServerLimits, serve};
pub use shutdown::{ShutdownSignal, ShutdownTrigger, shutdown};
pub use sql::STATEMENTS;
pub use tls::{TlsError, TlsSetup, TlsSource};
