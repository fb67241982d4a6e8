//! Core as a whole: from facts to writes, in a cluster that lives in memory.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod honest;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod model;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod ovn;
#[cfg(test)]
mod random;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod scenarios;
mod sdn;
mod served;
#[cfg(test)]
mod slices;
#[cfg(test)]
mod text;
#[cfg(test)]
mod together;
