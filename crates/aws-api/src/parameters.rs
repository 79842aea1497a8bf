//! Parameters of AWS's query protocol: lists as `Name.member.1`, structures as `Name.Key`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::ApiError;

/// Maximum number of parameters of one request.
const MAX_PARAMETERS: usize = 2_000;

/// Values by name; names are unique.
#[derive(Clone, Default)]
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Parameters {
    /// Omits the values, which may be passwords and tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Parameters {
    /// Parses a form.
    ///
    /// # Errors
    /// `MalformedQueryString`; also for a repeated name, since parsers differ on which of the
    /// values counts.
    pub(crate) fn parse(form: &[u8]) -> Result<Self, ApiError> {
        let malformed = |why: &str| {
            Err(ApiError::new(
                "MalformedQueryString",
                404,
                &format!("The query string contains a syntax error: {why}."),
            ))
        };
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(form) {
            if name.is_empty() || name.len() > 256 {
                return malformed("a parameter has no name, or one of more than 256 bytes");
            }
            if values.len() == MAX_PARAMETERS {
                return malformed("there are more than 2,000 parameters");
            }
            if values.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return malformed(&format!("{name} is given twice"));
            }
        }
        Ok(Self { values })
    }

    /// Returns the first segments of the names, without those that every request may have.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let first = self.values.keys().map(|name| name.split('.').next().unwrap_or(name));
        first
            .filter(|name| {
                !matches!(*name, "Action" | "Version")
                    && !name.to_ascii_lowercase().starts_with("x-amz-")
            })
            .collect()
    }

    /// Returns the value of a scalar parameter; `None` if it is absent or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of a scalar parameter; `None` only if it is absent.
    pub(crate) fn text_or_empty(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns the value of a required parameter.
    ///
    /// # Errors
    /// `ValidationError` if it is absent or empty.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::missing(name))
    }

    /// Returns the value of a boolean parameter: `true` or `false` in any case.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let read = |value: &str| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ApiError::invalid(&format!("{name} must be true or false"))),
        };
        self.text(name).map(read).transpose()
    }

    /// Returns the value of a numeric parameter.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let read = |value: &str| {
            value.parse().map_err(|_| ApiError::invalid(&format!("{name} must be a number")))
        };
        self.text(name).map(read).transpose()
    }

    /// Returns the elements of a list in the order of their numbers: `Name.member.1`, `Name.1`, or
    /// `Name.ITEM.1`.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        self.elements(name).into_values().filter_map(|element| element.get("").copied()).collect()
    }

    /// Returns the elements of a list of structures, each as the parameters in it.
    pub(crate) fn structures(&self, name: &str) -> Vec<Self> {
        let owned = |element: BTreeMap<&str, &str>| Self {
            values: element
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        self.elements(name).into_values().map(owned).collect()
    }

    /// Returns true if a list is given, even an empty one (`Name=`).
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    /// Returns the elements by number: for each, the values by the rest of their names.
    fn elements(&self, name: &str) -> BTreeMap<u32, BTreeMap<&str, &str>> {
        let mut elements: BTreeMap<u32, BTreeMap<&str, &str>> = BTreeMap::new();
        for (full, value) in &self.values {
            let Some(suffix) = full.strip_prefix(name).and_then(|name| name.strip_prefix('.'))
            else {
                continue;
            };
            let (first, rest) = suffix.split_once('.').unwrap_or((suffix, ""));
            let numbered = first.parse().map(|number| (number, rest)).or_else(|_| {
                let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
                number.parse().map(|number| (number, rest))
            });
            if let Ok((number, rest)) = numbered {
                elements.entry(number).or_default().insert(rest, value);
            }
        }
        elements
    }
}
