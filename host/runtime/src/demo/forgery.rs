//! Hostile components, made from a built-in one by putting other code into it: what is around the code, the contract's
//! types above all, stays.

use anyhow::{Context as _, Result};

/// A component that nobody should run.
pub(super) struct Intruder {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) component: Vec<u8>,
}

/// All of them.
pub(super) fn all() -> Result<Vec<Intruder>> {
    Ok(vec![
        Intruder {
            name: "endless",
            what: "its plan never comes to an end",
            component: forge(include_str!("hostile/endless.wat"))?,
        },
        Intruder {
            name: "thief",
            what: "it gives an address away that somebody holds",
            component: forge(include_str!("hostile/thief.wat"))?,
        },
        Intruder {
            name: "curious",
            what: "it wants to read the environment of the process",
            component: ask_for(r#"(component (import "wasi:cli/environment@0.2.0" (type (sub resource))))"#)?,
        },
    ])
}

/// What is common to all forged code; `make-plan` takes the place of the comment `PLAN`.
const COMMON: &str = include_str!("hostile/common.wat");

/// The built-in policy with other code.
fn forge(plan: &str) -> Result<Vec<u8>> {
    let module = wat::parse_str(COMMON.replace(";; PLAN", plan))?;
    replace_code(sluice_builtin_policies::ZONE_SPREAD, &module).context("the built-in policy has an unexpected shape")
}

/// A component's header, and the number of a section with a core module.
const HEADER: usize = 8;
const CORE_MODULE: u8 = 1;

/// The built-in policy with one more import. A type import refers to nothing, so that nothing has to be renumbered.
fn ask_for(import: &str) -> Result<Vec<u8>> {
    let import = wat::parse_str(import)?;
    let sections = import.get(HEADER..).context("a component without a header")?;
    Ok([sluice_builtin_policies::ZONE_SPREAD, sections].concat())
}

/// Replaces a component's largest core module, which is its code.
fn replace_code(component: &[u8], module: &[u8]) -> Option<Vec<u8>> {
    let mut sections = Vec::new();
    let mut rest = component.get(HEADER..)?;
    while let Some((&id, tail)) = rest.split_first() {
        let (size, tail) = read_size(tail)?;
        let (content, tail) = tail.split_at_checked(size)?;
        sections.push((id, content));
        rest = tail;
    }
    let code = sections.iter().filter(|(id, _)| *id == CORE_MODULE).map(|(_, content)| content.len()).max()?;
    let mut forged = component.get(..HEADER)?.to_vec();
    for (id, content) in sections {
        let is_code = id == CORE_MODULE && content.len() == code;
        let content = if is_code { module } else { content };
        forged.push(id);
        write_size(&mut forged, content.len());
        forged.extend_from_slice(content);
    }
    Some(forged)
}

/// Reads an unsigned LEB128 number.
fn read_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut size = 0;
    for (position, byte) in bytes.iter().enumerate().take(5) {
        size |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some((size, bytes.get(position + 1..)?));
        }
    }
    None
}

/// Writes an unsigned LEB128 number.
fn write_size(bytes: &mut Vec<u8>, mut size: usize) {
    loop {
        let low = u8::try_from(size & 0x7f).unwrap_or(0);
        size >>= 7;
        if size == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
