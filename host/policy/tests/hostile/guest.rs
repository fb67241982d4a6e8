//! Components written by hand: what the canonical ABI wants is here, so that each test states only its evil.
//!
//! A guest is two core modules. `libc` has the memory and `realloc`, `main` the three exports. Whatever a guest
//! answers is laid out by [`Image`] and put into the memory as data, so that an honest body is one constant.

use std::fmt::Write;

/// Where the data of a guest starts. Below it is room for whatever a body wants to write.
const BASE: u32 = 1024;

/// A policy to be. The default is honest: it accepts any settings and answers an empty plan.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Version in the name of the imported and exported interfaces.
    pub(crate) contract: &'static str,
    /// What `describe` answers.
    pub(crate) description: Description,
    /// What `make-plan` answers, unless `plan` is replaced.
    pub(crate) answer: Answer,
    /// Whether a plan is for the snapshot that comes in, of whatever generation.
    pub(crate) any_generation: bool,
    /// Bodies of the exports; none: return the answer. In a body `{answer}` is the address of what `make-plan` answers.
    pub(crate) describe: Option<String>,
    pub(crate) validate: Option<String>,
    pub(crate) plan: Option<String>,
    /// Comes before the body of `make-plan`.
    pub(crate) check: String,
    /// Body of the post-return function of `make-plan`.
    pub(crate) post_return: Option<String>,
    /// Body of `realloc`; none: hands out memory upwards.
    pub(crate) realloc: Option<String>,
    /// Body of the start function of `main`.
    pub(crate) start: Option<String>,
    /// Pages that the memory has at first.
    pub(crate) pages: u32,
    /// More items for the core module `main`.
    pub(crate) items: String,
    /// More items for the component, before and after `main`. `with` are arguments of its instantiation.
    pub(crate) before: String,
    pub(crate) with: String,
    pub(crate) after: String,
}

/// What `describe` answers.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) name: Vec<u8>,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) schema: String,
    pub(crate) attributes: Vec<(&'static str, &'static str)>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            contract: "0.1.0",
            description: Description {
                name: b"hostile".to_vec(),
                version: "0.0.1".into(),
                summary: "does harm".into(),
                schema: "{}".into(),
                attributes: Vec::new(),
            },
            answer: Answer::default(),
            any_generation: false,
            describe: None,
            validate: None,
            plan: None,
            check: String::new(),
            post_return: None,
            realloc: None,
            start: None,
            pages: 4,
            items: String::new(),
            before: String::new(),
            with: String::new(),
            after: String::new(),
        }
    }
}

impl Guest {
    /// A guest whose `make-plan` has this body: a pointer comes in, a pointer has to come out.
    pub(crate) fn planning(body: &str) -> Self {
        Self { plan: Some(body.into()), ..Self::default() }
    }

    /// A guest with this answer.
    pub(crate) fn answering(answer: Answer) -> Self {
        Self { answer, ..Self::default() }
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn text(&self) -> String {
        let mut image = Image::default();
        let description = image.description(&self.description);
        let accepted = image.put(&[0; 12], 4);
        let answer = self.answer.lay_out(&mut image);
        let body = |body: &Option<String>, answer: u32| body.clone().unwrap_or(format!("(i32.const {answer})"));
        let start = self.start.as_ref().map(|body| format!("(func $start {body}) (start $start)")).unwrap_or_default();
        let post = self.post_return.as_ref();
        let libc = self.libc(&image);
        let (describe, validate) = (body(&self.describe, description), body(&self.validate, accepted));
        // The generation is the first field of the snapshot, and of the plan behind the result's case.
        let update = format!("(i64.store (i32.const {}) (i64.load (local.get $arguments)))", answer + 8);
        let update = if self.any_generation { update } else { String::new() };
        let (plan, post_body) = (
            update + &self.check + &body(&self.plan, answer).replace("{answer}", &answer.to_string()),
            post.cloned().unwrap_or_default(),
        );
        let post_option = if post.is_some() { "(post-return $post)" } else { "" };
        let Self { contract, items, before, with, after, .. } = self;
        format!(
            r#"(component
            (type $log-type (instance
                (type $level (enum "debug" "info" "warn" "error"))
                (export "level" (type $exported (eq $level)))
                (export "log" (func (param "level" $exported) (param "message" string)))))
            (import "sluice:policy/log@{contract}" (instance $log (type $log-type)))
            {libc}
            (core func $log (canon lower (func $log "log") (memory $memory)))
            {before}
            (core module $main
                (import "host" "log" (func $log (param i32 i32 i32)))
                (import "libc" "memory" (memory 0))
                {items}
                {start}
                (func $describe (export "describe") (result i32) {describe})
                (func $validate (export "validate") (param i32 i32) (result i32) {validate})
                (func $make_plan (export "plan") (param $arguments i32) (result i32) {plan})
                (func $post_return (export "post") (param i32) {post_body}))
            (core instance $main (instantiate $main
                (with "host" (instance (export "log" (func $log))))
                (with "libc" (instance $libc))
                {with}))
            (alias core export $main "post" (core func $post))
            {TYPES}
            (func $describe (result $description)
                (canon lift (core func $main "describe") (memory $memory)))
            (func $validate (param "settings" string) (result $validated)
                (canon lift (core func $main "validate") (memory $memory) (realloc $realloc)))
            (func $plan (param "snapshot" $snapshot) (param "settings" string) (result $planned)
                (canon lift (core func $main "plan") (memory $memory) (realloc $realloc) {post_option}))
            (instance $allocator
                (export "describe" (func $describe))
                (export "validate-settings" (func $validate))
                (export "make-plan" (func $plan)))
            (export "sluice:policy/allocator@{contract}" (instance $allocator))
            {after})"#
        )
    }

    fn libc(&self, image: &Image) -> String {
        let realloc = self.realloc.clone().unwrap_or_else(|| {
            r"(local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (block $room (loop $more
                (br_if $room (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
                (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))
                unreachable))
            (local.get $at)"
                .into()
        });
        let mut data = String::new();
        for byte in &image.bytes {
            write!(data, "\\{byte:02x}").unwrap();
        }
        let (pages, free) = (self.pages, BASE as usize + image.bytes.len());
        format!(
            r#"(core module $libc
                (memory (export "memory") {pages})
                (data (i32.const {BASE}) "{data}")
                (global $free (mut i32) (i32.const {free}))
                (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))"#
        )
    }
}

/// The contract's types, and the exports that give them names.
const TYPES: &str = r#"
    (type $ip' (variant (case "ipv4" u32) (case "ipv6" (tuple u64 u64)))) (export $ip "ip-address" (type $ip'))
    (type $cidr' (record (field "network" $ip) (field "prefix-length" u8))) (export $cidr "cidr" (type $cidr'))
    (type $attribute' (record (field "name" string) (field "value" string)))
    (export $attribute "attribute" (type $attribute'))
    (type $placement-mode' (enum "exact" "among" "network"))
    (export $placement-mode "placement-mode" (type $placement-mode'))
    (type $pool' (record (field "name" string) (field "ranges" (list $cidr)) (field "reserved" (list $cidr))
        (field "placement" $placement-mode) (field "attributes" (list $attribute)))) (export $pool "pool" (type $pool'))
    (type $zone' (record (field "pool" u32) (field "name" string) (field "ranges" (list $cidr))
        (field "nodes" (list u32)) (field "may-leave" bool) (field "share" (option u32))
        (field "attributes" (list $attribute)))) (export $zone "zone" (type $zone'))
    (type $health' (enum "healthy" "draining" "down")) (export $health "health" (type $health'))
    (type $capacity' (record (field "total" (option u32)) (field "ipv4" (option u32)) (field "ipv6" (option u32))))
    (export $capacity "capacity" (type $capacity'))
    (type $node' (record (field "name" string) (field "health" $health) (field "capacity" $capacity)
        (field "other-load" u32) (field "attributes" (list $attribute)))) (export $node "node" (type $node'))
    (type $allocation' (record (field "address" $ip) (field "zone" (option u32))))
    (export $allocation "allocation" (type $allocation'))
    (type $owner' (record (field "name" string) (field "pool" u32) (field "labels" (list $attribute))
        (field "wanted" (option u32)) (field "requested" (list $ip)) (field "allocations" (list $allocation))
        (field "attributes" (list $attribute)))) (export $owner "owner" (type $owner'))
    (type $phase' (enum "settled" "arriving" "leaving")) (export $phase "phase" (type $phase'))
    (type $assignment' (record (field "address" $ip) (field "node" u32) (field "phase" $phase)))
    (export $assignment "assignment" (type $assignment'))
    (type $snapshot' (record (field "generation" u64) (field "now" u64) (field "seed" u64) (field "budget" u32)
        (field "pools" (list $pool)) (field "zones" (list $zone)) (field "nodes" (list $node))
        (field "owners" (list $owner)) (field "assignments" (list $assignment)) (field "occupied" (list $ip))
        (field "attributes" (list $attribute)))) (export $snapshot "snapshot" (type $snapshot'))
    (type $allocate' (record (field "owner" u32) (field "zone" (option u32)) (field "address" $ip)))
    (export $allocate "allocate" (type $allocate'))
    (type $placement' (record (field "address" $ip) (field "node" u32)))
    (export $placement "placement" (type $placement'))
    (type $relocation' (record (field "address" $ip) (field "source" u32) (field "target" u32)))
    (export $relocation "relocation" (type $relocation'))
    (type $operation' (variant (case "allocate" $allocate) (case "release" $ip) (case "assign" $placement)
        (case "unassign" $placement) (case "move" $relocation))) (export $operation "operation" (type $operation'))
    (type $reason' (enum "wanted" "requested" "surplus" "node-down" "node-draining" "node-ineligible"
        "over-capacity" "make-room" "rebalance" "other")) (export $reason "reason" (type $reason'))
    (type $patch' (record (field "operation" $operation) (field "reason" $reason) (field "text" string)))
    (export $patch "patch" (type $patch'))
    (type $hold-code' (enum "exhausted" "no-node" "no-capacity" "request-invalid" "request-taken" "share" "budget"
        "in-flight" "other")) (export $hold-code "hold-code" (type $hold-code'))
    (type $hold' (record (field "owner" u32) (field "zone" (option u32)) (field "code" $hold-code)
        (field "text" string))) (export $hold "hold" (type $hold'))
    (type $plan' (record (field "generation" u64) (field "patches" (list $patch)) (field "holds" (list $hold))
        (field "attributes" (list $attribute)))) (export $plan "plan" (type $plan'))
    (type $description' (record (field "name" string) (field "version" string) (field "summary" string)
        (field "settings-schema" string) (field "attributes" (list $attribute))))
    (export $description "description" (type $description'))
    (type $settings-error' (record (field "path" string) (field "text" string)))
    (export $settings-error "settings-error" (type $settings-error'))
    (type $plan-error' (variant (case "settings" (list $settings-error)) (case "unsupported" string)
        (case "internal" string))) (export $plan-error "plan-error" (type $plan-error'))
    (type $validated (result (error (list $settings-error))))
    (type $planned (result $plan (error $plan-error)))
"#;

/// What `make-plan` answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Plan {
        generation: u64,
        patches: Vec<Patch>,
        holds: Vec<Hold>,
    },
    /// The position of the case, and its payload. Of `settings` the length is that of the list.
    Error(u8, String),
}

impl Default for Answer {
    fn default() -> Self {
        Self::Plan { generation: super::GENERATION, patches: Vec::new(), holds: Vec::new() }
    }
}

/// A patch as a guest sees it. `numbers` is what the case takes besides the address, in order.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) operation: u8,
    pub(crate) numbers: Vec<u32>,
    pub(crate) address: u32,
    pub(crate) reason: u8,
    pub(crate) text: Vec<u8>,
}

impl Default for Patch {
    /// Releases 10.0.0.1, wanted.
    fn default() -> Self {
        Self { operation: 1, numbers: Vec::new(), address: 0x0a00_0001, reason: 0, text: Vec::new() }
    }
}

/// A hold as a guest sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hold {
    pub(crate) owner: u32,
    pub(crate) zone: Option<u32>,
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl Answer {
    /// A plan with these patches.
    pub(crate) fn patches(patches: Vec<Patch>) -> Self {
        Self::Plan { generation: super::GENERATION, patches, holds: Vec::new() }
    }

    /// A plan with these holds.
    pub(crate) fn holds(holds: Vec<Hold>) -> Self {
        Self::Plan { generation: super::GENERATION, patches: Vec::new(), holds }
    }

    /// `result<plan, plan-error>`: 40 bytes, the payload at 8.
    fn lay_out(&self, image: &mut Image) -> u32 {
        let mut result = [0; 40];
        match self {
            Self::Plan { generation, patches, holds } => {
                let patch_bytes: Vec<u8> = patches.iter().flat_map(|patch| patch.bytes(image)).collect();
                let hold_bytes: Vec<u8> = holds.iter().flat_map(|hold| hold.bytes(image)).collect();
                result[8..16].copy_from_slice(&generation.to_le_bytes());
                place(&mut result, 16, image.put(&patch_bytes, 8));
                place(&mut result, 20, length(patches.len()));
                place(&mut result, 24, image.put(&hold_bytes, 4));
                place(&mut result, 28, length(holds.len()));
            }
            Self::Error(case, payload) => {
                result[0] = 1;
                result[8] = *case;
                place(&mut result, 12, image.put(payload.as_bytes(), 4));
                // A list of settings errors takes 16 bytes for each.
                place(&mut result, 16, length(if *case == 0 { payload.len() / 16 } else { payload.len() }));
            }
        }
        image.put(&result, 8)
    }
}

impl Patch {
    /// 64 bytes: the operation's case at 0 and its payload at 8, the reason at 48, the text at 52.
    fn bytes(&self, image: &mut Image) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0] = self.operation;
        // `allocate` has the owner and the optional zone first; the others start with the address. An address is 24
        // bytes: the case at 0, four bytes of IPv4 at 8.
        let address = if self.operation == 0 { 24 } else { 8 };
        place(&mut bytes, address + 8, self.address);
        match (self.operation, self.numbers.as_slice()) {
            (0, &[owner]) => place(&mut bytes, 8, owner),
            (0, &[owner, zone]) => {
                place(&mut bytes, 8, owner);
                bytes[12] = 1;
                place(&mut bytes, 16, zone);
            }
            (_, numbers) => {
                for (position, number) in numbers.iter().enumerate() {
                    place(&mut bytes, 32 + 4 * position, *number);
                }
            }
        }
        bytes[48] = self.reason;
        place(&mut bytes, 52, image.put(&self.text, 1));
        place(&mut bytes, 56, length(self.text.len()));
        bytes
    }
}

impl Hold {
    /// 24 bytes: owner, zone at 4, code at 12, text at 16.
    fn bytes(&self, image: &mut Image) -> [u8; 24] {
        let mut bytes = [0; 24];
        place(&mut bytes, 0, self.owner);
        bytes[4] = u8::from(self.zone.is_some());
        place(&mut bytes, 8, self.zone.unwrap_or(0));
        bytes[12] = self.code;
        place(&mut bytes, 16, image.put(self.text.as_bytes(), 1));
        place(&mut bytes, 20, length(self.text.len()));
        bytes
    }
}

/// The data of a guest.
#[derive(Debug, Default)]
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Adds bytes; gives their address.
    fn put(&mut self, bytes: &[u8], align: usize) -> u32 {
        while !self.bytes.len().is_multiple_of(align) {
            self.bytes.push(0);
        }
        let address = BASE + length(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        address
    }

    /// `description`: four strings, and a list of pairs of strings.
    fn description(&mut self, description: &Description) -> u32 {
        let Description { name, version, summary, schema, attributes } = description;
        let pairs = attributes.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let pairs = self.strings(&pairs.collect::<Vec<_>>());
        let list = self.put(&pairs, 4);
        let mut record = self.strings(&[name, version.as_bytes(), summary.as_bytes(), schema.as_bytes()]);
        record.extend(list.to_le_bytes());
        record.extend(length(attributes.len()).to_le_bytes());
        self.put(&record, 4)
    }

    /// Strings as they stand in a record: address and length of each.
    fn strings(&mut self, texts: &[&[u8]]) -> Vec<u8> {
        texts.iter().flat_map(|text| [self.put(text, 1), length(text.len())]).flat_map(u32::to_le_bytes).collect()
    }
}

fn place(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}
