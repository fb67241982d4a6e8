//! Failures as one line of text that may be shown to anybody: no tokens, no output of login commands, no walls of text.

use std::error::Error;

use kube::client::AuthError;
use kube::runtime::watcher;

/// Longest text, in characters: it ends up in logs, events and status.
const LONGEST: usize = 600;

/// What went wrong with a request.
pub(crate) fn of_request(failure: &kube::Error) -> String {
    let text = match failure {
        kube::Error::Api(status) if status.message.is_empty() => format!("HTTP {} {}", status.code, status.reason),
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Auth(failure) => of_login(failure),
        kube::Error::Service(failure) => match failure.downcast_ref::<AuthError>() {
            Some(failure) => of_login(failure),
            None => chain(failure.as_ref()),
        },
        other => chain(other),
    };
    bounded(&text)
}

/// What went wrong with a watch.
pub(crate) fn of_watch(failure: &watcher::Error) -> String {
    match failure {
        watcher::Error::InitialListFailed(failure)
        | watcher::Error::WatchStartFailed(failure)
        | watcher::Error::WatchFailed(failure) => of_request(failure),
        watcher::Error::WatchError(status) => bounded(&status.message),
        other @ watcher::Error::NoResourceVersion => other.to_string(),
    }
}

/// What went wrong with a login. What a command was given or printed may be a token, so it is not repeated.
pub(crate) fn of_login(failure: &AuthError) -> String {
    match failure {
        AuthError::AuthExecRun { out, .. } => format!("users[].user.exec: the login command failed: {}", out.status),
        AuthError::AuthExecParse(_) => "users[].user.exec: the login command printed no ExecCredential".to_owned(),
        AuthError::AuthExecStart(failure) => format!("users[].user.exec: the login command does not start: {failure}"),
        AuthError::ReadTokenFile(failure, path) => format!("token file {}: {failure}", path.display()),
        AuthError::InvalidBearerToken(_) => "the token has characters that no HTTP header may have".to_owned(),
        AuthError::MissingCommand => "users[].user.exec.command: missing".to_owned(),
        AuthError::ExecPluginFailed => "users[].user.exec: the login command gave no token".to_owned(),
        _ => "the login failed".to_owned(),
    }
}

/// An error and its causes, without those that only repeat what is said already.
pub(crate) fn chain(failure: &(dyn Error + 'static)) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

/// A text on one line, cut where it gets too long.
pub(crate) fn bounded(text: &str) -> String {
    sluice_core::text::bounded(text, LONGEST)
}
