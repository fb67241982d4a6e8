//! The process: start, readiness, metrics, status, events, rights, platforms, shutdown.
