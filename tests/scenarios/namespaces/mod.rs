//! Namespaces come, go, opt in, opt out and change pools; also while nobody looks.

mod joining;
mod leaving;
