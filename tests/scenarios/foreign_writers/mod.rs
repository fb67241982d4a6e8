//! Others write too, and the world can be lost from sight: what is seen again is put right, what is theirs stays.

mod drift;
mod gaps;
mod lock;
