//! Life of a pool: its entries, its limits, overlaps, deletion.
