//! From a verified plan to writes, grouped per object and ordered so that every prefix is a state from which
//! planning again converges.

mod write;

pub use write::{
    Change, FINALIZER, HOLD_ANNOTATION, Home, Needs, OWNED_BY_POOL_ANNOTATION, POOL_ANNOTATION, RESULT_ANNOTATION, Target,
    Write, ZONES_ANNOTATION,
};
