//! The dialect over HTTP.
