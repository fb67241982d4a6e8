//! Networks: in which objects a network keeps what owners hold and what nodes carry.
//!
//! Each network has a module here: its kinds and annotations, how its objects are read as core's facts, and how core's
//! changes become merge patches of them. Today there is one: OpenShift SDN.

mod sdn;

pub use sdn::WORDS;
pub(crate) use sdn::{
    CARRIER, HOLDING, HOST_SUBNET, NET_NAMESPACE, carrier_facts, carrier_patch, holding_facts, holding_patch,
};
