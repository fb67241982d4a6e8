//! CRDs, watches, the index and object patches
