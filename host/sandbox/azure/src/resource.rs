//! Names of resources. ARM compares them without regard to case and keeps the case they were given in.

use std::fmt;

/// The path of a resource, a child of one, a collection or an action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Path {
    /// The subscription.
    pub(crate) subscription: String,
    /// The resource group; none for collections of a whole subscription and for operations.
    pub(crate) group: Option<String>,
    /// The provider, e.g. `Microsoft.Network`.
    pub(crate) provider: String,
    /// Types and names in turn; the last type has no name in a collection or an action.
    pub(crate) parts: Vec<String>,
}

impl Path {
    /// Reads a path; none if it is not one of a provider's resource.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
        expect(segments.next(), "subscriptions")?;
        let subscription = segments.next()?.to_owned();
        let mut group = None;
        if segments.peek().is_some_and(|segment| segment.eq_ignore_ascii_case("resourceGroups")) {
            segments.next();
            group = Some(segments.next()?.to_owned());
        }
        expect(segments.next(), "providers")?;
        let provider = segments.next()?.to_owned();
        let parts: Vec<String> = segments.map(str::to_owned).collect();
        (!parts.is_empty()).then_some(Self { subscription, group, provider, parts })
    }

    /// The type or name at a position.
    pub(crate) fn part(&self, position: usize) -> &str {
        self.parts.get(position).map_or("", String::as_str)
    }

    /// Whether the top-level type is this one.
    pub(crate) fn is(&self, provider: &str, kind: &str) -> bool {
        self.provider.eq_ignore_ascii_case(provider) && self.part(0).eq_ignore_ascii_case(kind)
    }

    /// The top-level resource: without children and actions.
    pub(crate) fn top(&self) -> Self {
        Self { parts: self.parts.iter().take(2).cloned().collect(), ..self.clone() }
    }

    /// The same with the top-level type spelt as Azure's own messages spell it.
    pub(crate) fn spelt(&self) -> Self {
        const KNOWN: [&str; 4] = ["networkInterfaces", "virtualNetworks", "loadBalancers", "virtualMachines"];
        let mut spelt = self.clone();
        if let Some(kind) = spelt.parts.first_mut()
            && let Some(known) = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(kind))
        {
            known.clone_into(kind);
        }
        spelt
    }

    /// What the resource is stored under.
    pub(crate) fn key(&self) -> String {
        key(&self.to_string())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}", self.subscription)?;
        if let Some(group) = &self.group {
            write!(f, "/resourceGroups/{group}")?;
        }
        write!(f, "/providers/{}/{}", self.provider, self.parts.join("/"))
    }
}

/// What a resource with this id is stored under.
pub(crate) fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}

/// What a resource group is stored under.
pub(crate) fn group_key(subscription: &str, group: &str) -> String {
    key(&format!("{subscription}/{group}"))
}

/// The id of the resource that a child belongs to.
pub(crate) fn parent(id: &str) -> Option<String> {
    Path::parse(id).map(|path| path.top().to_string())
}

fn expect(found: Option<&str>, wanted: &str) -> Option<()> {
    found.filter(|found| found.eq_ignore_ascii_case(wanted)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_whatever_their_case_and_slashes() {
        let path =
            Path::parse("/subscriptions/s/resourcegroups/rg/providers/Microsoft.Network//virtualnetworks/V").unwrap();
        assert!(path.is("microsoft.network", "virtualNetworks"));
        assert_eq!(path.key(), "/subscriptions/s/resourcegroups/rg/providers/microsoft.network/virtualnetworks/v");
        assert_eq!(Path::parse("/subscriptions/s"), None);
        assert_eq!(Path::parse("/subscriptions/s/providers/Microsoft.Network"), None);
    }

    #[test]
    fn the_parent_of_a_subnet_is_its_network() {
        let id = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v";
        assert_eq!(parent(&format!("{id}/subnets/a")).as_deref(), Some(id));
    }
}
