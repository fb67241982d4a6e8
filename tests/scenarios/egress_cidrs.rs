//! Pools that OpenShift SDN places by itself.
