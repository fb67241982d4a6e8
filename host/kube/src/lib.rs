//! The Kubernetes side of Sluice: CRDs, watches, the index, object patches and status.
//!
//! Objects come in through [`watch`] or [`files`], are reduced to facts by [`convert`] and kept in an [`index::Index`].
//! Writes go out through [`patch`]; [`status`] and [`events`] say what came of it. Nothing here decides anything about
//! addresses.

#![cfg_attr(
    test,
    allow(clippy::needless_raw_string_hashes, reason = "`UPDATE_EXPECT=1` writes expectations with them")
)]

pub mod api;
pub mod client;
pub mod convert;
pub mod credentials;
pub mod events;
mod failure;
pub mod files;
pub mod index;
pub mod kind;
pub mod lock_rights;
pub mod names;
pub mod network;
pub mod object;
pub mod patch;
pub mod served;
pub mod status;
pub mod watch;

#[cfg(test)]
mod manifests;
#[cfg(test)]
mod testing;
