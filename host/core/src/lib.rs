//! The pure heart of Sluice: what is seen becomes a snapshot, a plan is verified against it, and a verified plan
//! becomes writes in an order of which every prefix is a good state.
//!
//! No clock, no environment, no I/O, no async runtime; nothing here knows of kube, wasmtime or the policy contract.

pub mod backend;
pub mod cloud;
pub mod diff;
pub mod effect;
mod in_flight;
pub mod name;
pub mod network;
pub mod observed;
pub mod pace;
pub mod plan;
pub mod repair;
pub mod retry;
pub mod round;
pub mod rows;
mod service;
pub mod settle;
pub mod snapshot;
pub mod status;
pub mod survey;
pub mod text;
pub mod verify;
