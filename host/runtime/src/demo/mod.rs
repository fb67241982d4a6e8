//! The demo: the real engine and the real policies against a cluster in memory. Nothing is scripted: the seed chooses
//! what fails, and every act is checked.

mod acts;
mod azure;
mod forgery;
mod intruders;
mod lines;
mod narrator;
mod stage;
mod swap;
mod tables;
mod tell;

use std::io::Write;

use anyhow::Result;
use sluice_policy::PolicyHost;

use crate::cli::Output;
use lines::LineTeller;
use stage::Stage;
use tell::{Teller, TextTeller};

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct DemoOptions {
    /// Chooses everything that happens; the same seed tells the same story
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where it plays; on azure the times differ a little from one run to the next
    #[arg(long, value_enum, default_value_t)]
    cloud: DemoCloud,
    /// How to tell it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Where the demo plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoCloud {
    /// On bare metal
    #[default]
    None,
    /// On a simulated Azure
    Azure,
}

/// Plays the demo to standard output, in colour if that is a terminal; whether every act was verified. Blocks for a few
/// seconds: from async code, call it where blocking is allowed.
pub fn run(options: DemoOptions, host: &PolicyHost) -> Result<bool> {
    let play = match options.cloud {
        DemoCloud::None => play,
        DemoCloud::Azure => azure::play,
    };
    if options.output == Output::Json {
        let mut out = std::io::stdout().lock();
        return play(options.seed, host, &mut LineTeller::new(&mut out));
    }
    let mut out = anstream::stdout().lock();
    let verified = play(options.seed, host, &mut TextTeller::new(&mut out))?;
    out.flush()?;
    Ok(verified)
}

/// Plays all acts, also after one that was not verified.
fn play(seed: u64, host: &PolicyHost, teller: &mut dyn Teller) -> Result<bool> {
    teller.title(seed)?;
    let policy = host.load(sluice_builtin_policies::ZONE_SPREAD, "{}")?;
    let mut stage = Stage::new(seed, policy, teller);
    let mut verified = acts::three_zones(&mut stage)?;
    verified &= acts::node_failure(&mut stage)?;
    verified &= acts::zone_failure(&mut stage)?;
    verified &= swap::hot_swap(&mut stage, host)?;
    verified &= intruders::hostile_policies(&mut stage, host)?;
    stage.end(verified)?;
    Ok(verified)
}

#[cfg(test)]
mod tests;
