//! Matches a request against the statements of all policies in effect.

use std::sync::Arc;

use super::caller::PrincipalMatch;
use super::context::Request;
use super::decision::StatementRef;
use super::document::{FirstMismatch, Policy};
use super::pattern::ArnSegments;
use super::principals::Boundary;
use super::set::{Layer, PolicySet};

/// A request and the policies in effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluation<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) policies: &'a PolicySet,
    segments: ArnSegments,
    boundary: Boundary,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(request: &'a Request<'a>, policies: &'a PolicySet) -> Self {
        let boundary = if policies.has_boundary() { Boundary::Present } else { Boundary::Absent };
        Self { request, policies, segments: ArnSegments::of_arn(request.resource), boundary }
    }

    /// Layers that apply to the caller. A service or identity provider belongs to no account, so
    /// SCPs and identity policies do not apply to it.
    pub(super) fn layers(&self) -> impl Iterator<Item = (Layer, &'a [Arc<Policy>])> {
        let external = self.request.caller.is_external();
        self.policies.layers().filter(move |(layer, _)| {
            !external || matches!(layer, Layer::Resource | Layer::ResourceControl(_))
        })
    }

    /// Statements of a layer, each with its match or its first mismatch.
    pub(super) fn statements(
        &self,
        layer: Layer,
        policies: &'a [Arc<Policy>],
    ) -> impl Iterator<Item = (StatementRef<'a>, Result<PrincipalMatch, FirstMismatch<'a>>)> {
        let Self { request, segments, boundary, .. } = *self;
        policies.iter().enumerate().flat_map(move |(policy, document)| {
            document.statements().iter().enumerate().map(move |(index, statement)| {
                let place = StatementRef {
                    layer,
                    policy: (policy, document),
                    statement: (index, statement),
                };
                (place, statement.apply(request, segments, boundary))
            })
        })
    }
}
