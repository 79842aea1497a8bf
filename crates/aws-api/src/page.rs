//! Pagination of lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Page sizes of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    /// Name of the parameter that requests a page size.
    pub(crate) parameter: &'static str,
    pub(crate) default: usize,
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Start of the next page, opaque to the caller; `None` on the last page.
    pub(crate) marker: Option<String>,
}

impl Paging {
    /// Returns the requested page of items that are in the order of their keys. A marker holds the
    /// last key of the previous page, so that insertions and deletions in between do not matter.
    pub(crate) fn page<T>(
        self,
        ctx: &RequestContext<'_>,
        items: impl IntoIterator<Item = (String, T)>,
    ) -> Result<Page<T>, ApiError> {
        let Self { parameter, default, min, max } = self;
        let requested = ctx.parameters.number(parameter)?.map_or(Ok(default), usize::try_from);
        let length =
            requested.ok().filter(|length| (min..=max).contains(length)).ok_or_else(|| {
                ApiError::invalid(&format!("{parameter} must be from {min} to {max}"))
            })?;
        let after = ctx.parameters.text("Marker").map(decode_marker).transpose()?;
        let mut rest =
            items.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        let page: Vec<(String, T)> = rest.by_ref().take(length).collect();
        let marker = rest.next().and(page.last()).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        Ok(Page { items: page.into_iter().map(|(_, item)| item).collect(), marker })
    }
}

impl<T> Page<T> {
    /// Writes IAM's `IsTruncated` and `Marker`.
    pub(crate) fn write_truncation(&self, xml: &mut Xml) {
        xml.leaf("IsTruncated", self.marker.is_some())
            .optional_leaf("Marker", self.marker.as_ref());
    }
}

fn decode_marker(marker: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| ApiError::invalid("Invalid Marker: this service did not issue it"))
}
