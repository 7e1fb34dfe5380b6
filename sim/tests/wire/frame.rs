//! The frame over HTTP: faults, webhooks, pages, controls, the store.
