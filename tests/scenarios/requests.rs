//! Addresses that a namespace asks for by itself.
