//! Reads: resources, their children, lists and the two reports of a virtual network.

use serde_json::{Value, json};

use crate::address::{Subnet, reserved};
use crate::answer::Answer;
use crate::config::text;
use crate::request::Request;
use crate::resource::Path;
use crate::settings::Members;
use crate::world::World;

impl World {
    /// Answers a `GET`.
    pub(crate) fn read(&self, now: u64, request: &Request, path: &Path, version: &str) -> Result<Answer, Answer> {
        match path.parts.len() {
            1 => Ok(self.list(request, path)),
            2 => {
                let body = self.resources.get(&path.key()).ok_or_else(|| self.not_found(path))?;
                Ok(tagged(self.shown(body)))
            }
            3 => {
                let network = self.resources.get(&path.top().key()).ok_or_else(|| self.not_found(path))?;
                match path.part(2).to_ascii_lowercase().as_str() {
                    "checkipaddressavailability" => self.availability(now, request, path, network, version),
                    "usages" => Ok(self.usages(network)),
                    name => Ok(Answer::new(200, json!({"value": children(&self.shown(network), name)}))),
                }
            }
            _ => {
                let wanted = self.child(&path.to_string()).and_then(|child| text(child, "/name"));
                let parent = self.resources.get(&path.top().key()).map(|body| self.shown(body));
                let found = wanted.zip(parent).and_then(|(wanted, parent)| {
                    let all = children(&parent, path.part(2));
                    all.into_iter().find(|child| text(child, "/name").as_ref() == Some(&wanted))
                });
                let text = format!("Resource {} not found.", path.spelt());
                found.map(tagged).ok_or_else(|| Answer::network(404, "NotFound", &text, &[]))
            }
        }
    }

    /// ARM does not know of the resource.
    pub(crate) fn not_found(&self, path: &Path) -> Answer {
        let path = path.spelt();
        let help = if self.settings.help_links {
            " For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        } else {
            ""
        };
        let text = format!(
            "The Resource '{}/{}/{}' under resource group '{}' was not found.{help}",
            path.provider,
            path.part(0),
            path.part(1),
            path.group.as_deref().unwrap_or_default()
        );
        Answer::arm(404, "ResourceNotFound", &text).with("x-ms-failure-cause", "gateway")
    }

    /// A list, a page at a time. The token of a page is the id of the last resource of the page before, in hexadecimal.
    fn list(&self, request: &Request, path: &Path) -> Answer {
        let token = request.parameter("$skiptoken").unwrap_or_default();
        let after = unhex(&token);
        let prefix = match &path.group {
            Some(_) => format!("{}/", path.key()),
            None => format!("/subscriptions/{}/", path.subscription.to_ascii_lowercase()),
        };
        let fits = |id: &str| Path::parse(id).is_some_and(|found| found.is(&path.provider, path.part(0)));
        let start = if after > prefix { after.clone() } else { prefix.clone() };
        let mut found = self.resources.range(start..).take_while(|(id, _)| id.starts_with(&prefix));
        let mut page: Vec<(&String, &Value)> = Vec::new();
        let mut more = false;
        for (id, body) in found.by_ref().filter(|(id, _)| **id != after && fits(id)) {
            if page.len() == self.settings.page_size {
                more = true;
                break;
            }
            page.push((id, body));
        }
        let mut body = json!({"value": page.iter().map(|(_, body)| self.shown(body)).collect::<Vec<_>>()});
        if let (true, Some((last, _)), Some(fields)) = (more, page.last(), body.as_object_mut()) {
            let version = request.parameter("api-version").unwrap_or_default();
            let next = format!("{}{}?api-version={version}&%24skiptoken={}", self.base, request.path, hex(last));
            fields.insert("nextLink".to_owned(), json!(next));
        }
        Answer::new(200, body)
    }

    /// A resource as it is shown: the subnets of a virtual network name the configurations in them.
    fn shown(&self, body: &Value) -> Value {
        let mut body = body.clone();
        let subnets = body.pointer_mut("/properties/subnets").and_then(Value::as_array_mut);
        for subnet in subnets.into_iter().flatten() {
            let members = self.holders.of_subnet(&text(subnet, "/id").unwrap_or_default());
            let members = match self.settings.members {
                _ if members.is_empty() => continue,
                Members::Listed => json!(members.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()),
                Members::Null => Value::Null,
            };
            if let Some(properties) = subnet.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert("ipConfigurations".to_owned(), members);
            }
        }
        body
    }

    /// `CheckIPAddressAvailability`.
    fn availability(
        &self,
        now: u64,
        request: &Request,
        path: &Path,
        network: &Value,
        version: &str,
    ) -> Result<Answer, Answer> {
        let wanted = request.parameter("ipAddress").unwrap_or_default();
        let Ok(address) = wanted.parse() else {
            let text = format!("Private static IP address value {wanted} is invalid.");
            return Err(Answer::network(400, "InvalidPrivateIPAddressFormat", &text, &[]));
        };
        let place = subnets(network).into_iter().find_map(|subnet| Some((subnet.prefix_of(address)?, subnet)));
        let Some((prefix, subnet)) = place else {
            let network = path.top();
            let text = format!(
                "Private static IP address {wanted} does not belong to the range of any subnet in the virtual network \
                 {network}."
            );
            return Err(Answer::network(400, "PrivateIPAddressNotInAnySubnet", &text, &[]));
        };
        let platform = reserved(prefix, address);
        let available = !platform && self.holders.free(now, &subnet.id, address);
        let mut body = json!({"available": available});
        if let Some(fields) = body.as_object_mut() {
            if version >= "2019-09-01" {
                fields.insert("isPlatformReserved".to_owned(), json!(platform));
            }
            if !available {
                let free = subnet.usable(address.is_ipv6()).filter(|free| self.holders.free(now, &subnet.id, *free));
                let free: Vec<String> = free.take(5).map(|free| free.to_string()).collect();
                fields.insert("availableIPAddresses".to_owned(), json!(free));
            }
        }
        Ok(Answer::new(200, body))
    }

    /// `usages`: how full each subnet is; of a gateway's subnet that is not said.
    fn usages(&self, network: &Value) -> Answer {
        let usage = |subnet: &Subnet| {
            let gateway = subnet.id.to_ascii_lowercase().ends_with("/gatewaysubnet");
            let used = i32::try_from(self.holders.of_subnet(&subnet.id).len()).unwrap_or(i32::MAX);
            let most = i32::try_from(subnet.usable(false).take(1 << 20).count()).unwrap_or(i32::MAX);
            let (used, most) = if gateway { (-1, -1) } else { (used, most) };
            json!({
                "currentValue": f64::from(used),
                "id": subnet.id,
                "limit": f64::from(most),
                "name": {"localizedValue": "Subnet size and usage", "value": "SubnetSpace"},
                "unit": "Count",
            })
        };
        Answer::new(200, json!({"value": subnets(network).iter().map(usage).collect::<Vec<_>>()}))
    }
}

fn subnets(network: &Value) -> Vec<Subnet> {
    children(network, "subnets").iter().filter_map(Subnet::read).collect()
}

/// The children of a resource, of a type in any case.
fn children(body: &Value, kind: &str) -> Vec<Value> {
    let properties = body.get("properties").and_then(Value::as_object);
    let found = properties.and_then(|all| all.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)));
    found.and_then(|(_, list)| list.as_array()).cloned().unwrap_or_default()
}

/// An answer with the etag of the body as a header.
fn tagged(body: Value) -> Answer {
    let etag = text(&body, "/etag");
    Answer::new(200, body).with_some("etag", etag)
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> String {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let bytes = digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? * 16 + pair.last()?)).collect();
    String::from_utf8(bytes).unwrap_or_default()
}
