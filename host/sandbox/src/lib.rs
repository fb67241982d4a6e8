//! An in-process cluster with faults and a virtual clock
