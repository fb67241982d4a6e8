//! Life of a namespace: opted in, out, deleted, moved to another pool.
