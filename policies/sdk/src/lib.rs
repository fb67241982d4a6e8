//! Rust guest SDK for Sluice policies
