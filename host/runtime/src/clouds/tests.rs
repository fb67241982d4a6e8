//! That a cloud is known everywhere or nowhere, and what `plan` makes of files that show one.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser as _;
use serde_json::json;
use sluice_kube::convert::{FieldNotes, platform};
use sluice_kube::object::Object;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    clouds: CloudArgs,
    #[command(flatten)]
    dumps: DumpArgs,
}

fn line(words: &[&str]) -> Line {
    Line::try_parse_from(["sluice"].iter().chain(words)).expect("flags that there are")
}

fn on(name: &str) -> Observed {
    let infrastructure = Object::new(json!({"status": {"platformStatus": {"type": name}}}));
    Observed { platform: platform(&infrastructure, &mut FieldNotes::new()), ..Observed::default() }
}

#[test]
fn whatever_is_called_a_cloud_of_ours_has_a_provider() {
    let types = "AWS Azure BareMetal GCP Libvirt OpenStack None VSphere oVirt IBMCloud KubeVirt EquinixMetal PowerVS \
                 AlibabaCloud Nutanix External";
    let served = types.split(' ').filter_map(|name| match on(name).platform {
        Platform::Cloud(cloud) => Some(cloud.name),
        _ => None,
    });
    let names = line(&[]).clouds.setups().into_iter().map(|setup| setup.name().to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), served.collect());
}

#[test]
fn files_show_the_cloud_that_the_cluster_is_in() {
    let show = |platform: &str, words: &[&str], private_ips| {
        let mut observed = Observed { private_ips, ..on(platform) };
        line(words).dumps.show(&mut observed).map_err(|error| error.to_string())?;
        Ok((observed.cloud.map(|cloud| cloud.writes), observed.cloud_obstacle))
    };
    let hint = Some("--azure-dump FILE would show them".to_owned());
    assert_eq!(show("Azure", &[], None), Ok((None, hint)));
    assert_eq!(show("Azure", &[], Some(BTreeMap::new())), Ok((Some(false), None)), "somebody else writes them");
    for elsewhere in ["None", "AWS", ""] {
        assert_eq!(show(elsewhere, &[], None), Ok((None, None)));
        let refused = "--azure-dump: Infrastructure/cluster does not say that this cluster is on Azure".to_owned();
        assert_eq!(show(elsewhere, &["--azure-dump", "/no/such/file"], None), Err(refused), "{elsewhere}");
    }
    let unreadable = "--azure-dump /no/such/file".to_owned();
    assert_eq!(show("Azure", &["--azure-dump", "/no/such/file"], None), Err(unreadable));
}
