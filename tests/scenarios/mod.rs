//! What Sluice has to do, one file for each part of it.

mod allocation;
mod azure;
mod command_line;
mod egress_cidrs;
mod foreign_writers;
mod hot_swap;
mod kill_points;
mod namespaces;
mod native_and_wasm;
mod nodes;
mod operator;
mod ovn;
mod peer_defects;
mod pools;
mod reported_cases;
mod requests;
mod slices;
mod take_over;
