//! The work engine's errors as a client sees them.

use backlot_department::CommandError;
use backlot_web::ApiError;
use backlot_work::Error;

/// An error for the client. The engine's errors name their mend in their own text, after the last semicolon or colon.
pub(crate) fn refuse(error: Error) -> ApiError {
    let (message, mend) = split(&error);
    match error {
        Error::NoSuchRun(_) | Error::NoSuchStep { .. } | Error::NoSuchTask(_) => {
            ApiError::not_found(message, mend)
        }
        Error::AmbiguousRun(_) | Error::WrongState { .. } => ApiError::conflict(message, mend),
        Error::Spec(_) | Error::Reference(_) | Error::NoSuchKind { .. } => ApiError::invalid(message, mend),
        _ => ApiError::internal(&error),
    }
}

/// The same for a command.
pub(crate) fn fail(error: Error) -> CommandError {
    let (message, mend) = split(&error);
    CommandError::failed(message, mend)
}

pub(crate) fn fail_events(error: backlot_events::Error) -> CommandError {
    fail(Error::from(error))
}

fn split(error: &Error) -> (String, String) {
    let text = error.to_string();
    let parts = text.rsplit_once("; ").or_else(|| text.rsplit_once(": "));
    match parts {
        Some((message, mend)) => (message.to_owned(), mend.to_owned()),
        None => (text, "correct it and try again".to_owned()),
    }
}
