//! Who gets which address on which node, at first.
