use std::collections::BTreeSet;

use super::carry::relist;
use super::results::{LONGEST_HOLD, hold_texts};
use crate::plan::HoldCode;
use crate::survey::NamedHold;

fn hold(owner: &str, zone: Option<&str>, text: &str) -> NamedHold {
    NamedHold {
        pool: "pool".into(),
        zone: zone.map(str::to_owned),
        owner: owner.into(),
        code: HoldCode::NoNode,
        text: text.to_owned(),
    }
}

#[test]
fn a_list_keeps_its_order_and_what_is_no_address() {
    let base = ["b", "10.0.0.9", "10.0.0.2", "010.0.0.2", "10.0.0.2"].map(str::to_owned);
    let set = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<_>>();
    let list = relist(&base, &set(&["10.0.0.2"]), &set(&["10.0.0.9", "10.0.0.7", "10.0.0.10"]));
    assert_eq!(list, ["b", "10.0.0.9", "010.0.0.2", "10.0.0.7", "10.0.0.10"]);
}

#[test]
fn one_text_tells_all_holds_of_a_namespace() {
    let texts = hold_texts(&[hold("shop", None, "why"), hold("shop", Some("a"), ""), hold("other", None, "")]);
    assert_eq!(texts["shop"], "no-node: why; no-node (zone a)");
    assert_eq!(texts["other"], "no-node");
}

#[test]
fn a_long_text_is_cut_between_characters() {
    let texts = hold_texts(&[hold("shop", None, &"é".repeat(600))]);
    let text = &texts["shop"];
    assert!(text.len() <= LONGEST_HOLD && text.len() >= LONGEST_HOLD - 1, "{}", text.len());
}
