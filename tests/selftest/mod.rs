//! Tests of the harness itself: what scenarios rely on holds.

mod audit;
mod cluster;
mod dumps;
mod history;
mod openshift;
mod outcome;
mod process;
mod proxy;
mod storage;
