//! The simulators over real HTTP: every quirk of a dialect, and the faults of the frame.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod frame;
mod monnify;
mod paypal;
mod ramp_corporate;
mod ramp_network;
mod stripe;
mod world;
mod zenith;
