//! Random writes: no address is ever on two NICs, and none is lost for ever.

use std::collections::BTreeMap;

use sluice_sandbox::Dice;

use super::Lab;
use crate::{Conflict, Ending, Fault, Span, Wrong};

/// Who carries which address, by the bodies of the NICs.
fn carried(lab: &Lab) -> BTreeMap<String, Vec<String>> {
    let mut carried: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for nic in [&lab.nic, &lab.other, &lab.spare] {
        for address in lab.arm.addresses(nic).into_values() {
            carried.entry(address).or_default().push(nic.clone());
        }
    }
    carried
}

/// A `PUT` that adds or removes an address, perhaps with an operation that ends badly.
fn write(lab: &Lab, dice: &mut Dice, now: u64) {
    let nics = [&lab.nic, &lab.other, &lab.spare];
    let nic = dice.pick(&nics).unwrap();
    let address = format!("10.0.0.{}", dice.between(10, 14));
    let mut body = lab.arm.resource(nic).unwrap();
    let configs = body["properties"]["ipConfigurations"].as_array_mut().unwrap();
    let before = configs.len();
    configs.retain(|config| config["properties"]["privateIPAddress"] != address.as_str());
    if configs.len() == before {
        body = lab.with(nic, &address);
    }
    if dice.chance(20) {
        let (superseded, applied) = (dice.chance(50), dice.chance(50));
        lab.arm.inject(Fault::once("PUT", "", Wrong::Operation(Ending::Canceled { superseded, applied })));
    }
    lab.put(now, nic, &body);
    lab.arm.clear_faults();
}

#[tokio::test]
async fn no_address_is_on_two_nics() {
    for seed in 0..30 {
        let mut dice = Dice::new(seed);
        let conflict = if dice.chance(50) { Conflict::Supersede } else { Conflict::Retryable };
        let lab = Lab::new(|settings| {
            settings.conflict = conflict;
            settings.duration = Span::Drawn;
            settings.seed = seed;
            settings.release_lag_ms = dice.below(20_000);
        })
        .await;
        for _ in 0..60 {
            lab.arm.clock().advance(dice.below(60_000));
            write(&lab, &mut dice, lab.arm.clock().now());
            let carried = carried(&lab);
            assert!(carried.values().all(|nics| nics.len() == 1), "seed {seed}: {carried:?}");
        }
        // In the end every address is either carried or free.
        let now = lab.arm.clock().now() + 400_000;
        lab.get(now, &lab.nic);
        let carried = carried(&lab);
        let world = lab.arm.shared.world();
        for host in 10..=14 {
            let address = format!("10.0.0.{host}");
            let free = world.holders.free(now, &lab.subnet, address.parse().unwrap());
            assert_eq!(free, !carried.contains_key(&address), "seed {seed}: {address}");
        }
    }
}
