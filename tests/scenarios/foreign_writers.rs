//! Others who write to the same objects, drift, gaps in watches, and the old operator's lock.
