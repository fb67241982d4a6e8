//! Logs on standard error.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// From here on, what is logged shows. `RUST_LOG` chooses what; unless set, everything that a person on call wants.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would complain on standard error, and panic: a full disk, or a reader that is gone, must not end the operator.
        .log_internal_errors(false);
    // Fails only if somebody logs already, and then logs do show.
    let _ = match format {
        LogFormat::Text => {
            log.with_ansi(anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never).try_init()
        }
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
}
