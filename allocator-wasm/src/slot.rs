//! An address that an owner holds or gets, and where the plan puts it.

use sluice_policy_sdk::{Family, HoldCode, IpAddress, Reason};

use crate::ids::{AddressId, NodeId, OwnerId, ZoneId};

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) owner: OwnerId,
    pub(crate) zone: Option<ZoneId>,
    pub(crate) id: AddressId,
    pub(crate) address: IpAddress,
    pub(crate) family: Family,
    /// Why the plan allocates it; none if it is held already.
    pub(crate) fresh: Option<Reason>,
    /// Why the plan releases it.
    pub(crate) released: Option<Reason>,
    /// The owner holds more than it should, and this is what it can do without.
    pub(crate) surplus: bool,
    /// An owner that sorts first holds it, too.
    pub(crate) duplicate: bool,
    /// The node that carries it now.
    pub(crate) original: Option<NodeId>,
    /// The node that carries it once the plan is done.
    pub(crate) at: Option<NodeId>,
    /// A second node with which the owner's other addresses must keep away, while a write is under way.
    pub(crate) also: Option<NodeId>,
    pub(crate) standing: Standing,
    /// What a move away from `original` costs of the budget: 0 or 1.
    pub(crate) charge: u32,
    /// Where it is now, it may stay.
    pub(crate) may_stay: bool,
    /// Why it moves, if it does.
    pub(crate) cause: Reason,
    /// Why it is not served, unless it is.
    pub(crate) hold: Option<HoldCode>,
}

/// What the plan may do with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Fixed,
    /// It has a fitting node, and may have another.
    Served,
    /// It needs a fitting node.
    Pending,
    /// It sits where it may not, but its owner can do without: it makes room if need be.
    Idle,
}

impl Slot {
    /// A slot that holds an address, wherever that is.
    pub(crate) fn new(owner: OwnerId, zone: Option<ZoneId>, id: AddressId, address: IpAddress) -> Self {
        Self {
            owner,
            zone,
            id,
            address,
            family: address.family(),
            fresh: None,
            released: None,
            surplus: false,
            duplicate: false,
            original: None,
            at: None,
            also: None,
            standing: Standing::Fixed,
            charge: 0,
            may_stay: false,
            cause: Reason::Wanted,
            hold: None,
        }
    }

    /// What it costs of the budget if the node carries it in the end.
    pub(crate) fn price(&self, node: Option<NodeId>) -> u32 {
        if node == self.original { 0 } else { self.charge }
    }

    /// Whether it is away from where it may stay.
    pub(crate) fn is_displaced(&self) -> bool {
        self.may_stay && self.at != self.original && self.released.is_none()
    }

    /// Whether it keeps the owner's other addresses off the node.
    pub(crate) fn blocks(&self, node: NodeId) -> bool {
        self.at == Some(node) || self.also == Some(node)
    }
}
