//! Azure: the interfaces of the machines, in a simulated cloud.

mod life;
mod stage;
