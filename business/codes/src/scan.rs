//! The scan: from `GET /{code}` to its answer and its count.
