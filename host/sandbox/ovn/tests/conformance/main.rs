//! What the tests of OVN-Kubernetes and of the cloud controller say, case by case, in our own words.

mod assignment;
mod both;
mod fixtures;
mod nodes;
mod status;
mod world;
