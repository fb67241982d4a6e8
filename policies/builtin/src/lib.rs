//! The policies that come with Sluice, as components. The build script compiles them.

/// The default policy: every owner gets an address in each zone.
pub const ZONE_SPREAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zone-spread.wasm"));

/// The policy that uses few nodes.
pub const PACK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pack.wasm"));

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    /// The names of what the outermost component imports or exports.
    fn interfaces(component: &[u8]) -> (Vec<String>, Vec<String>) {
        let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
        for payload in Parser::new(0).parse_all(component) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 0 => {
                    imports.extend(section.into_iter().map(|i| i.unwrap().name.name.to_owned()));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    exports.extend(section.into_iter().map(|e| e.unwrap().name.name.to_owned()));
                }
                _ => {}
            }
        }
        (imports, exports)
    }

    #[test]
    fn policies_import_nothing_but_the_log() {
        for component in [ZONE_SPREAD, PACK] {
            let (imports, exports) = interfaces(component);
            assert_eq!(imports, ["sluice:policy/log@0.1.0"]);
            assert_eq!(exports, ["sluice:policy/allocator@0.1.0"]);
        }
    }
}
