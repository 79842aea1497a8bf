//! Arguments of the module in a pam.d file.

use countersign_core::failure::{Class, Failure};
use countersign_verifier_client::{SettingError, Settings};

/// Parses the arguments and reports all errors at once.
pub(crate) fn parse(arguments: &[String]) -> Result<Settings, Failure> {
    let (mut pairs, mut words) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            Some(pair) => pairs.push(pair),
            None => words.push(format!("{argument:?}: must be NAME=VALUE")),
        }
    }
    match Settings::parse(&pairs) {
        Ok(settings) if words.is_empty() => Ok(settings),
        read => {
            let errors = words.into_iter().chain(
                read.err().into_iter().flatten().map(|error: SettingError| error.to_string()),
            );
            let errors: Vec<String> = errors.collect();
            Err(Failure::new(
                Class::Configuration,
                format!("cannot parse the pam.d arguments: {}", errors.join("; ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
