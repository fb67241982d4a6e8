//! The state of the simulated cloud, and the way of a request through it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluice_sandbox::Dice;

use crate::address::{Holders, Subnet, expand};
use crate::answer::Answer;
use crate::config::text;
use crate::fault::{Denial, Faults, Wrong};
use crate::operation::Operation;
use crate::request::{Hook, Logged, Reply, Request};
use crate::resource::{Path, group_key, key, parent};
use crate::settings::Settings;
use crate::throttle::{Throttles, Verb};
use crate::token::Tokens;

/// The state.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) base: String,
    pub(crate) dice: Dice,
    /// Subscriptions, in lower case.
    pub(crate) subscriptions: BTreeSet<String>,
    pub(crate) groups: BTreeSet<String>,
    /// Resources by lower-case id.
    pub(crate) resources: BTreeMap<String, Value>,
    pub(crate) holders: Holders,
    pub(crate) operations: BTreeMap<String, Operation>,
    /// The operation that runs on a NIC.
    pub(crate) running: BTreeMap<String, String>,
    /// How many updates of a NIC there were.
    pub(crate) updates: BTreeMap<String, u64>,
    pub(crate) tokens: Tokens,
    pub(crate) throttles: Throttles,
    pub(crate) faults: Faults,
    pub(crate) denials: Vec<Denial>,
    /// The actions that requests took so far.
    pub(crate) taken: BTreeSet<String>,
    pub(crate) log: Vec<Logged>,
    pub(crate) hook: Hook,
}

impl World {
    /// An empty cloud whose own URLs begin with `base`.
    pub(crate) fn new(settings: Settings, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            dice: Dice::new(settings.seed),
            settings,
            subscriptions: BTreeSet::new(),
            groups: BTreeSet::new(),
            resources: BTreeMap::new(),
            holders: Holders::default(),
            operations: BTreeMap::new(),
            running: BTreeMap::new(),
            updates: BTreeMap::new(),
            tokens: Tokens::default(),
            throttles: Throttles::default(),
            faults: Faults::default(),
            denials: Vec::new(),
            taken: BTreeSet::new(),
            log: Vec::new(),
            hook: Hook::default(),
        }
    }

    /// A new GUID.
    pub(crate) fn guid(&mut self) -> String {
        let (high, low) = (self.dice.below(u64::MAX), self.dice.below(u64::MAX));
        let (first, second) = (high >> 32, (high >> 16) & 0xffff);
        let (third, fourth) = (high & 0x0fff, (low >> 48) & 0x3fff | 0x8000);
        format!("{first:08x}-{second:04x}-4{third:03x}-{fourth:04x}-{:012x}", low & 0xffff_ffff_ffff)
    }

    /// A new etag.
    pub(crate) fn etag(&mut self) -> String {
        format!("W/\"{}\"", self.guid())
    }

    /// Answers a request that arrives, and logs it.
    pub(crate) fn handle(&mut self, now: u64, request: &Request) -> Reply {
        self.settle(now);
        self.holders.sweep(now);
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let reply = self.answer(now, request);
        let logged = Logged {
            at: now,
            principal: self.tokens.principal(now, request.bearer.as_deref()).ok(),
            method: request.method.clone(),
            path: format!("{}{query}", request.path),
            status: reply.answer.as_ref().map(|answer| answer.status),
            if_match: request.if_match.clone(),
            body: request.shown(),
        };
        self.hook.call(&logged);
        self.log.push(logged);
        reply
    }

    /// What was injected stands before everything else.
    fn answer(&mut self, now: u64, request: &Request) -> Reply {
        let wrong = self.faults.meet(now, &request.method, &request.path);
        let late = if let Some(Wrong::Slow(late)) = wrong { late } else { 0 };
        if matches!(wrong, Some(Wrong::DroppedBefore)) {
            return Reply { answer: None, late };
        }
        let injected = wrong.as_ref().and_then(|wrong| wrong.answer(request.path.contains("/oauth2/")));
        let mut answer = injected.unwrap_or_else(|| self.admit(now, request, wrong.as_ref()).unwrap_or_else(|no| no));
        if let Some(Wrong::FailedAfter { status, code }) = &wrong {
            answer = Answer::arm(
                *status,
                code,
                "The gateway did not receive a response from 'Microsoft.Network' \
                within the specified time period.",
            );
        }
        let id = self.guid();
        let answer = answer.with("x-ms-request-id", &id).with("x-ms-correlation-request-id", &id);
        Reply { answer: (!matches!(wrong, Some(Wrong::DroppedAfter))).then_some(answer), late }
    }

    /// ARM's own checks: token, api-version, throttling, permission, subscription and group.
    fn admit(&mut self, now: u64, request: &Request, wrong: Option<&Wrong>) -> Result<Answer, Answer> {
        if let Some(tenant) = request.path.strip_suffix("/oauth2/v2.0/token") {
            let token = format!("simulated-{}", self.guid());
            let tenant = tenant.trim_matches('/');
            return Ok(self.tokens.answer(now, &self.settings, tenant, request, &token));
        }
        if request.path == "/metadata/endpoints" {
            // Only Azure Stack says so; its audience is another name than its endpoint.
            let audiences = [format!("{}/of-the-stack", self.base)];
            let authentication = json!({"loginEndpoint": self.base, "audiences": audiences});
            return Ok(Answer::new(200, json!({"authentication": authentication})));
        }
        let principal = self.tokens.principal(now, request.bearer.as_deref())?;
        let path = Path::parse(&request.path)
            .ok_or_else(|| Answer::arm(404, "InvalidResourceType", "The resource type could not be found."))?;
        let version = request.parameter("api-version").filter(|version| !version.is_empty()).ok_or_else(|| {
            let text = "The api-version query parameter (?api-version=) is required for all requests.";
            Answer::arm(400, "MissingApiVersionParameter", text)
        })?;
        let verb = Verb::of(&request.method);
        let who = (path.subscription.as_str(), principal.as_str());
        let operation = format!("{}{}", request.method, type_of(&path).to_ascii_uppercase());
        let remaining = self.throttles.arm(now, &self.settings.limits, who, verb, &operation)?;
        let answer = self.route(now, request, (&path, &version), &principal, wrong).unwrap_or_else(|no| no);
        // ARM's own refusals do not name what remains.
        let gateway = answer.headers.iter().any(|(name, _)| *name == "x-ms-failure-cause");
        Ok(if gateway { answer } else { remaining.into_iter().fold(answer, |all, (name, left)| all.with(name, &left)) })
    }

    fn route(
        &mut self,
        now: u64,
        request: &Request,
        (path, version): (&Path, &str),
        principal: &str,
        wrong: Option<&Wrong>,
    ) -> Result<Answer, Answer> {
        let gateway = |answer: Answer| answer.with("x-ms-failure-cause", "gateway");
        if !self.subscriptions.contains(&key(&path.subscription)) {
            let text = format!("The subscription '{}' could not be found.", path.subscription);
            return Err(gateway(Answer::arm(404, "SubscriptionNotFound", &text)));
        }
        let verb = Verb::of(&request.method);
        self.permit(principal, path, verb)?;
        if let Some(group) = &path.group
            && !self.groups.contains(&group_key(&path.subscription, group))
        {
            let text = format!("Resource group '{group}' could not be found.");
            return Err(gateway(Answer::arm(404, "ResourceGroupNotFound", &text)));
        }
        if path.provider.eq_ignore_ascii_case("Microsoft.Network") {
            self.throttles.network(now, &self.settings.limits, &path.subscription, verb)?;
        }
        if path.is("Microsoft.Network", "locations") {
            let result = path.part(2).eq_ignore_ascii_case("operationResults");
            return Ok(self.ask_operation(now, path.part(3), request, result));
        }
        if verb == Verb::Read {
            return self.read(now, request, path, version);
        }
        if !path.is("Microsoft.Network", "networkInterfaces") || path.parts.len() != 2 {
            let text = format!("The simulator does not serve {} of {}.", request.method, type_of(path));
            return Err(Answer::arm(405, "SimulatedNotServed", &text));
        }
        match request.method.as_str() {
            "PUT" => self.put_nic(now, request, (path, version), principal, wrong),
            "PATCH" => self.patch_nic(request, path),
            "DELETE" => self.delete_nic(now, (path, version), wrong),
            _ => Err(Answer::arm(405, "SimulatedNotServed", "The simulator does not serve this method.")),
        }
    }

    /// The subnet of an id.
    pub(crate) fn subnet(&self, id: &str) -> Option<Subnet> {
        Subnet::read(self.child(id)?)
    }

    /// Whether a resource, or a child of one, exists.
    pub(crate) fn exists(&self, id: &str) -> bool {
        self.resources.contains_key(&key(id)) || self.child(id).is_some()
    }

    /// A child of a resource, as the resource's body has it.
    pub(crate) fn child(&self, id: &str) -> Option<&Value> {
        let path = Path::parse(id).filter(|path| path.parts.len() == 4)?;
        let properties = self.resources.get(&path.top().key())?.get("properties")?.as_object()?;
        let (_, children) = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(path.part(2)))?;
        let named = |child: &&Value| text(child, "/name").is_some_and(|name| name.eq_ignore_ascii_case(path.part(3)));
        children.as_array()?.iter().find(named)
    }

    /// The outbound rule that uses a load balancer's pool.
    pub(crate) fn outbound_rule(&self, pool: &str) -> Option<String> {
        let balancer = self.resources.get(&key(&parent(pool)?))?;
        let rules = balancer.pointer("/properties/outboundRules")?.as_array()?;
        let uses = |rule: &&Value| {
            text(rule, "/properties/backendAddressPool/id").is_some_and(|id| id.eq_ignore_ascii_case(pool))
        };
        rules.iter().find(uses).and_then(|rule| text(rule, "/id"))
    }

    /// Notes which addresses a resource holds; what it no longer holds is free at a time.
    pub(crate) fn index(&mut self, resource: &str, free_at: u64) {
        let mut held = Vec::new();
        let body = self.resources.get(resource);
        for list in ["/properties/ipConfigurations", "/properties/frontendIPConfigurations"] {
            let list = body.and_then(|body| body.pointer(list)).and_then(Value::as_array);
            for config in list.into_iter().flatten() {
                let subnet = text(config, "/properties/subnet/id");
                let addresses = text(config, "/properties/privateIPAddress");
                let id = text(config, "/id").unwrap_or_default();
                if let (Some(subnet), Some(addresses)) = (subnet, addresses) {
                    held.extend(expand(&addresses).into_iter().map(|address| (subnet.clone(), address, id.clone())));
                }
            }
        }
        self.holders.settle(resource, &held, free_at);
    }
}

/// The types of a path, as in the operation that a throttle names.
fn type_of(path: &Path) -> String {
    let types: Vec<&str> = path.parts.iter().step_by(2).map(String::as_str).collect();
    let group = if path.group.is_some() { "/RESOURCEGROUPS" } else { "" };
    format!("/SUBSCRIPTIONS{group}/PROVIDERS/{}/{}", path.provider, types.join("/"))
}
