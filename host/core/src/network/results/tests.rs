use super::{LONGEST_HOLD, hold_texts};
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
