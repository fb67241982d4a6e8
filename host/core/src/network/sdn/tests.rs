use std::collections::BTreeSet;

use super::carry::relist;

#[test]
fn a_list_keeps_its_order_and_what_is_no_address() {
    let base = ["b", "10.0.0.9", "10.0.0.2", "010.0.0.2", "10.0.0.2"].map(str::to_owned);
    let set = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<_>>();
    let list = relist(&base, &set(&["10.0.0.2"]), &set(&["10.0.0.9", "10.0.0.7", "10.0.0.10"]));
    assert_eq!(list, ["b", "10.0.0.9", "010.0.0.2", "10.0.0.7", "10.0.0.10"]);
}
