//! What people call the objects of the network that is served.

/// The network's words for its objects, for texts that people read: they look for an object by the name of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The object that has what an owner holds.
    pub holding: &'static str,
    /// Several of them.
    pub holdings: &'static str,
    /// The object that has what a node carries.
    pub carrier: &'static str,
    /// Several of them.
    pub carriers: &'static str,
    /// Why a node without one can carry nothing.
    pub no_carrier: &'static str,
}

impl Default for Words {
    /// Our own words, where nobody says which network it is.
    fn default() -> Self {
        Self {
            holding: "holding",
            holdings: "holdings",
            carrier: "carrier",
            carriers: "carriers",
            no_carrier: "there is no carrier of it",
        }
    }
}
