//! Lists that come in pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::call::RequestContext;
use super::error::ApiError;
use super::xml::Xml;

/// How a service calls its pages' length, and what that may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    pub(crate) parameter: &'static str,
    pub(crate) usual: usize,
    pub(crate) least: usize,
    pub(crate) most: usize,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next one begins, opaque to the caller; none on the last.
    pub(crate) marker: Option<String>,
}

impl Paging {
    /// The page that the call asks for, of items in the order of their keys. A marker says behind which key it begins: what was
    /// added or taken away since does no harm.
    pub(crate) fn page<T>(
        self,
        call: &RequestContext<'_>,
        items: impl IntoIterator<Item = (String, T)>,
    ) -> Result<Page<T>, ApiError> {
        let asked = call.parameters.number(self.parameter)?.map_or(Ok(self.usual), usize::try_from);
        let length = asked
            .ok()
            .filter(|length| (self.least..=self.most).contains(length))
            .ok_or_else(|| {
                ApiError::invalid(&format!(
                    "{} must be from {} to {}",
                    self.parameter, self.least, self.most
                ))
            })?;
        let behind = call.parameters.text("Marker").map(decoded).transpose()?;
        let mut rest =
            items.into_iter().filter(|(key, _)| behind.as_ref().is_none_or(|behind| key > behind));
        let page: Vec<(String, T)> = rest.by_ref().take(length).collect();
        let marker = rest.next().and(page.last()).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        Ok(Page { items: page.into_iter().map(|(_, item)| item).collect(), marker })
    }
}

impl<T> Page<T> {
    /// IAM's `IsTruncated` and `Marker`.
    pub(crate) fn write_truncation(&self, xml: &mut Xml) {
        xml.leaf("IsTruncated", self.marker.is_some()).maybe("Marker", self.marker.as_ref());
    }
}

fn decoded(marker: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| ApiError::invalid("Invalid Marker: it is none of this service's"))
}
