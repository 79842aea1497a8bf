//! The arguments of the pam.d line.

use countersign_core::failure::{Class, Failure};
use countersign_verifier_client::{SettingError, Settings};

/// Reads the arguments; all that is wrong with them is reported at once.
pub(crate) fn parse(arguments: &[String]) -> Result<Settings, Failure> {
    let (mut pairs, mut words) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            Some(pair) => pairs.push(pair),
            None => words.push(format!("{argument:?}: an argument is NAME=VALUE")),
        }
    }
    match Settings::parse(&pairs) {
        Ok(settings) if words.is_empty() => Ok(settings),
        read => {
            let mistakes = words.into_iter().chain(
                read.err().into_iter().flatten().map(|mistake: SettingError| mistake.to_string()),
            );
            let mistakes: Vec<String> = mistakes.collect();
            Err(Failure::new(
                Class::Configuration,
                format!("the pam.d line is wrong: {}", mistakes.join("; ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
