//! A policy is replaced while the operator runs.
