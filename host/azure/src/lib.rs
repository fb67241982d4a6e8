//! Egress addresses as secondary configurations of the network interfaces of Azure virtual machines.
//!
//! [`Azure`] reads what there is and tells it as [`CloudFacts`](sluice_core::cloud::CloudFacts); [`Azure::submit`] takes
//! up changes. Whatever is decided is decided in code that is synchronous and is told the time; requests are made in few
//! places, above all in one: every request to Resource Manager goes through one client that authorises, throttles and
//! counts it and says what a refusal means.
//!
//! An interface is written as a whole, with what was read of it and other configurations, and only if it is still the
//! version that was read. One write of an interface is under way at a time, with all of its changes. A worker makes one
//! attempt; after a failure the interface is read, rests for a while, and is planned anew.

mod arm;
mod credentials;
mod dump;
mod environment;
mod http;
mod id;
mod inventory;
mod json;
mod lists;
mod machine;
mod meter;
mod nic;
mod operation;
mod pace;
mod provider;
mod throttle;
mod token;

pub use credentials::{Credentials, CredentialsError};
pub use dump::{DumpError, facts_of_dump};
pub use environment::{Environment, EnvironmentError, EnvironmentOptions};
pub use http::plain_client;
pub use machine::{LoadBalancerChoice, MachineRef};
pub use meter::{Meter, Requests};
pub use nic::name_of;
pub use pace::Pace;
pub use provider::{Azure, Config, NotSubmitted, SetupError};
