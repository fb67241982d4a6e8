//! Which requests a proxy spoils, and how.

use std::time::Duration;

use hyper::{Method, Request, StatusCode};

/// A request, as far as rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The HTTP method.
    pub method: Method,
    /// Such as `hostsubnets`; empty if the path names none.
    pub resource: String,
    /// Such as `status`; empty if the path names none.
    pub subresource: String,
    /// Empty for lists, watches and creations.
    pub name: String,
    /// Whether it is a watch.
    pub watch: bool,
}

impl Asked {
    /// Reads the path: `/api/v1/...` or `/apis/<group>/<version>/...`, then perhaps `namespaces/<namespace>/`, then the resource.
    pub fn of<B>(request: &Request<B>) -> Self {
        let mut path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        let prefix = match path.first() {
            Some(&"api") => 2,
            Some(&"apis") => 3,
            _ => path.len(),
        };
        path.drain(..prefix.min(path.len()));
        let in_namespace = path.first() == Some(&"namespaces") && path.len() > 2 && !is_of_namespace(path[2]);
        if in_namespace {
            path.drain(..2);
        }
        let part = |index: usize| path.get(index).copied().unwrap_or_default().to_owned();
        let query = request.uri().query().unwrap_or_default();
        Self {
            method: request.method().clone(),
            resource: part(0),
            subresource: part(2),
            name: part(1),
            watch: query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")),
        }
    }

    /// Whether it can change something.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD && !self.resource.ends_with("reviews")
    }
}

/// In `namespaces/<name>/<this>`: a part of the Namespace object itself, not a resource in it.
fn is_of_namespace(part: &str) -> bool {
    matches!(part, "status" | "finalize")
}

/// Which requests a rule is for.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    writes_only: bool,
    watches_only: bool,
    no_bookkeeping: bool,
    resource: Option<String>,
    name: Option<String>,
}

impl Matcher {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// POST, PUT, PATCH, DELETE.
    pub fn writes() -> Self {
        Self { writes_only: true, ..Self::default() }
    }

    /// Writes that matter: not events, leases or status.
    pub fn changes() -> Self {
        Self { no_bookkeeping: true, ..Self::writes() }
    }

    /// Watches.
    pub fn watches() -> Self {
        Self { watches_only: true, ..Self::default() }
    }

    /// Only on this resource, such as `hostsubnets`.
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Only for the object of this name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    fn matches(&self, asked: &Asked) -> bool {
        let is_bookkeeping =
            matches!(asked.resource.as_str(), "events" | "leases") || asked.subresource.as_str() == "status";
        (!self.writes_only || asked.is_write())
            && (!self.watches_only || asked.watch)
            && (!self.no_bookkeeping || !is_bookkeeping)
            && self.resource.as_ref().is_none_or(|resource| *resource == asked.resource)
            && self.name.as_ref().is_none_or(|name| *name == asked.name)
    }
}

/// What happens to matching requests: by default to all of them, from the first.
#[derive(Debug, Clone)]
pub struct Rule {
    matcher: Matcher,
    skip: usize,
    times: usize,
    effect: Effect,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    Pass,
    Answer(StatusCode),
    Delay(Duration),
    Hang,
    CutBefore,
    CutAfter,
    KillBefore,
    Kill,
}

impl Rule {
    /// Committed; then the operator is killed; no answer.
    pub fn kill(matcher: Matcher) -> Self {
        Self::new(matcher, Effect::Kill)
    }

    /// The operator is killed; not passed on; no answer.
    pub fn kill_before(matcher: Matcher) -> Self {
        Self::new(matcher, Effect::KillBefore)
    }

    /// Not passed on: answered with this status, as the API server would.
    pub fn answer(matcher: Matcher, status: u16) -> Self {
        Self::new(matcher, Effect::Answer(StatusCode::from_u16(status).expect("an HTTP status")))
    }

    /// Passed on at once, answered this much later.
    pub fn delay(matcher: Matcher, delay: Duration) -> Self {
        Self::new(matcher, Effect::Delay(delay))
    }

    /// Never passed on, never answered.
    pub fn hang(matcher: Matcher) -> Self {
        Self::new(matcher, Effect::Hang)
    }

    /// Not passed on; the connection is closed.
    pub fn cut_before(matcher: Matcher) -> Self {
        Self::new(matcher, Effect::CutBefore)
    }

    /// Committed; then the connection is closed without an answer.
    pub fn cut_after(matcher: Matcher) -> Self {
        Self::new(matcher, Effect::CutAfter)
    }

    /// Lets the first `count` matching requests pass.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Strikes `count` times, then passes everything.
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    fn new(matcher: Matcher, effect: Effect) -> Self {
        Self { matcher, skip: 0, times: usize::MAX, effect }
    }
}

/// The rules of a proxy and what it has seen.
#[derive(Debug, Default)]
pub(super) struct Rules {
    list: Vec<Rule>,
    asked: Vec<Asked>,
    struck: usize,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) {
        self.list.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    pub(super) fn asked(&self, matcher: &Matcher) -> Vec<Asked> {
        self.asked.iter().filter(|asked| matcher.matches(asked)).cloned().collect()
    }

    pub(super) fn struck(&self) -> usize {
        self.struck
    }

    /// Every matching rule counts the request; the first that is due takes effect.
    pub(super) fn effect_on(&mut self, asked: Asked) -> Effect {
        let mut effect = Effect::Pass;
        for rule in self.list.iter_mut().filter(|rule| rule.matcher.matches(&asked)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 && matches!(effect, Effect::Pass) {
                rule.times -= 1;
                self.struck += 1;
                effect = rule.effect;
            }
        }
        self.asked.push(asked);
        effect
    }
}
