//! The operator is killed after every single write and has to finish after a restart.
