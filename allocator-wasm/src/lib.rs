//! The default allocation policy: zone-spread
