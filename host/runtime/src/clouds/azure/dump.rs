//! Azure as files show it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;
use sluice_azure::facts_of_dump;
use sluice_core::cloud::CloudFacts;
use sluice_core::observed::Observed;

use super::{NAME, machines};
use crate::cli::complain;
use crate::clouds::CloudDump;

/// Files that show Azure.
#[derive(clap::Args)]
pub(in crate::clouds) struct AzureDump {
    /// Reads Azure's machines and their interfaces from what `az network nic list`, `az vm list` and `az network vnet list`
    /// write with -o json; may be given several times
    #[arg(long = "azure-dump", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl CloudDump for AzureDump {
    fn cloud(&self) -> &'static str {
        NAME
    }

    fn flag(&self) -> &'static str {
        "--azure-dump"
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn read(&self, observed: &Observed) -> Result<CloudFacts> {
        let mut parts: Vec<Value> = Vec::new();
        for file in &self.files {
            let flag = || format!("--azure-dump {}", file.display());
            let text = std::fs::read_to_string(file).with_context(flag)?;
            parts.push(serde_json::from_str(text.trim_start_matches('\u{feff}')).with_context(flag)?);
        }
        let writes = observed.private_ips.is_none();
        let mut facts =
            facts_of_dump(&Value::from(parts).to_string(), &machines(observed), writes).context("--azure-dump")?;
        if facts.interfaces.values().all(|interface| interface.subnet.is_empty()) {
            complain(&anyhow!(
                "note: --azure-dump: the files have no network of the interfaces, so that all ranges are taken to be in their subnets; `az network vnet list -o json` writes them"
            ));
            let all = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
            facts.interfaces.values_mut().for_each(|interface| interface.subnet = all.to_vec());
        }
        Ok(facts)
    }
}
