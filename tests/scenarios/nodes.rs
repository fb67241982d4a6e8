//! Life of a node.
