//! What the tests of OVN-Kubernetes and of the cloud controller say, case by case, in our own words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

mod assignment;
mod both;
mod cloud_controller;
mod fixtures;
mod nodes;
mod observed;
mod on_cloud;
mod random;
mod selectors;
mod status;
mod table;
mod world;
