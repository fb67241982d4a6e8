//! What the policy promises, checked from outside with a model of its own.

#[cfg(test)]
mod brute;
#[cfg(test)]
mod effort;
#[cfg(test)]
mod honest;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod world;
