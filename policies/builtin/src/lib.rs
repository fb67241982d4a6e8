//! Policies compiled to components and embedded
