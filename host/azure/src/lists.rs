//! Lists of resources, page by page, as plain JSON: what follows reads the output of Azure's command line tool, too.
//!
//! No typed model reads them. One odd resource, whose fields a model does not expect, would hide all others.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::arm::{Arm, ArmError, COMPUTE_VERSION, ErrorKind, NETWORK_VERSION, Verb};
use crate::id::{BALANCER, INTERFACE, MACHINE, NETWORK};

/// Most pages of a list. Azure puts 100 and more on one.
const MAX_PAGES: usize = 2_000;

/// The interfaces of a resource group.
pub(crate) async fn interfaces(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    list(arm, subscription, group, INTERFACE, NETWORK_VERSION).await
}

/// The virtual networks of a resource group.
pub(crate) async fn networks(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    list(arm, subscription, group, NETWORK, NETWORK_VERSION).await
}

/// The load balancers of a resource group.
pub(crate) async fn balancers(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    list(arm, subscription, group, BALANCER, NETWORK_VERSION).await
}

/// The virtual machines of a resource group.
pub(crate) async fn machines(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    list(arm, subscription, group, MACHINE, COMPUTE_VERSION).await
}

async fn list(arm: &Arm, subscription: &str, group: &str, kind: &str, version: &str) -> Result<Vec<Value>, ArmError> {
    let path = format!("subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}");
    let mut answer = arm.send(Verb::Get, arm.url(&path, version)?, None).await?;
    let mut found = Vec::new();
    let mut asked = BTreeSet::new();
    for _ in 0..MAX_PAGES {
        let mut page: Value = serde_json::from_str(&answer.body).map_err(|error| unreadable(&error.to_string()))?;
        match page.get_mut("value").map(Value::take) {
            Some(Value::Array(mut items)) => found.append(&mut items),
            _ => return Err(unreadable("there is no list in it")),
        }
        match page.get("nextLink").and_then(Value::as_str).filter(|next| !next.is_empty()) {
            Some(next) if !asked.insert(next.to_owned()) => return Err(endless()),
            Some(next) => answer = arm.follow(Verb::Get, next).await?,
            None => return Ok(found),
        }
    }
    Err(endless())
}

fn unreadable(text: &str) -> ArmError {
    ArmError::new(ErrorKind::Permanent, "BadAnswer", &format!("azure's list cannot be read: {text}"))
}

fn endless() -> ArmError {
    ArmError::new(
        ErrorKind::Permanent,
        "EndlessList",
        &format!("azure's list comes back on itself, or has more than {MAX_PAGES} pages"),
    )
}
