//! Pools change, overlap, share nodes, break and go.

mod changes;
mod deletion;
mod invalid;
mod several;
