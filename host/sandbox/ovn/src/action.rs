//! What the two programs want to be written.

use crate::object::CpicStatus;
use serde_json::Value;

/// A write to the API. Whoever plays the API server carries out a batch in order. If an action fails, those after it in
/// the batch that have the same [`Action::owner`] are not carried out, since the real program would have stopped, and
/// the failed one is handed back.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Patches an `EgressIP` with RFC 6902. It has no subresource for status.
    PatchEgressIp {
        /// The `EgressIP`.
        name: String,
        /// The operations.
        patch: Value,
    },
    /// Creates a `CloudPrivateIPConfig` with an annotation that names its owner.
    CreateCpic {
        /// The `EgressIP` that it is for.
        owner: String,
        /// The name, which says the address.
        name: String,
        /// The node that should have the address.
        node: String,
    },
    /// Writes another node into the spec of a `CloudPrivateIPConfig`.
    UpdateCpic {
        /// The `EgressIP` that it is for.
        owner: String,
        /// The name.
        name: String,
        /// The node that should have the address from now on.
        node: String,
        /// The version that was read: with another one the API refuses the update.
        resource_version: u64,
    },
    /// Deletes a `CloudPrivateIPConfig`.
    DeleteCpic {
        /// The `EgressIP` that it was for.
        owner: String,
        /// The name.
        name: String,
    },
    /// Emits an event of type `Warning`.
    Event {
        /// The `EgressIP` that it is about.
        object: String,
        /// The reason.
        reason: Reason,
        /// What happened.
        message: String,
    },
    /// Writes the status of a `CloudPrivateIPConfig`, which is a subresource.
    CpicStatus {
        /// The name.
        name: String,
        /// The whole status.
        status: CpicStatus,
    },
    /// Replaces the finalizers of a `CloudPrivateIPConfig`.
    CpicFinalizers {
        /// The name.
        name: String,
        /// All of them.
        finalizers: Vec<String>,
    },
    /// Writes an annotation of a node.
    AnnotateNode {
        /// The node.
        node: String,
        /// The key of the annotation.
        key: &'static str,
        /// Its value.
        value: String,
    },
}

impl Action {
    /// Whose reconciliation an action belongs to: an `EgressIP`, or an object of the cloud controller.
    pub fn owner(&self) -> &str {
        match self {
            Self::PatchEgressIp { name, .. } | Self::CpicStatus { name, .. } | Self::CpicFinalizers { name, .. } => {
                name
            }
            Self::CreateCpic { owner, .. } | Self::UpdateCpic { owner, .. } | Self::DeleteCpic { owner, .. } => owner,
            Self::Event { object, .. } => object,
            Self::AnnotateNode { node, .. } => node,
        }
    }
}

/// Why an event was emitted. The names are those of OVN-Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// What is asked for is no address.
    InvalidEgressIp,
    /// No node may carry addresses, or none can carry any of these.
    NoMatchingNodeFound,
    /// Only some of the addresses have a node.
    UnassignedRequest,
    /// A host has the address.
    EgressIpConflict,
    /// Another object has the address.
    UnsupportedRequest,
    /// A `CloudPrivateIPConfig` could not be updated.
    CloudUpdateFailed,
    /// A `CloudPrivateIPConfig` could not be created.
    CloudAssignmentFailed,
    /// A `CloudPrivateIPConfig` could not be deleted.
    CloudDeletionFailed,
    /// A failed `CloudPrivateIPConfig`, whose node is gone, was deleted to be made anew.
    CloudAssignmentRetry,
}

impl Reason {
    /// The word in the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidEgressIp => "InvalidEgressIP",
            Self::NoMatchingNodeFound => "NoMatchingNodeFound",
            Self::UnassignedRequest => "UnassignedRequest",
            Self::EgressIpConflict => "EgressIPConflict",
            Self::UnsupportedRequest => "UnsupportedRequest",
            Self::CloudUpdateFailed => "CloudUpdateFailed",
            Self::CloudAssignmentFailed => "CloudAssignmentFailed",
            Self::CloudDeletionFailed => "CloudDeletionFailed",
            Self::CloudAssignmentRetry => "CloudAssignmentRetry",
        }
    }
}
