//! A policy that fills few nodes
