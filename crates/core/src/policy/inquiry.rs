//! A request held against every statement that bears on it.

use std::sync::Arc;

use super::caller::PrincipalMatch;
use super::context::Request;
use super::decision::Place;
use super::document::{FirstMismatch, Policy};
use super::pattern::ArnSegments;
use super::principals::Bounded;
use super::set::{Layer, PolicySet};

/// A request with the policies that bear on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluation<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) policies: &'a PolicySet,
    walls: ArnSegments,
    bounded: Bounded,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(request: &'a Request<'a>, policies: &'a PolicySet) -> Self {
        let bounded = if policies.has_boundary() { Bounded::Yes } else { Bounded::No };
        Self { request, policies, walls: ArnSegments::of_arn(request.resource), bounded }
    }

    /// The layers that bear on the caller. A service or identity provider is in no account: neither SCPs nor policies
    /// of identities speak of it.
    pub(super) fn layers(&self) -> impl Iterator<Item = (Layer, &'a [Arc<Policy>])> {
        let external = self.request.caller.is_external();
        self.policies.layers().filter(move |(layer, _)| {
            !external || matches!(layer, Layer::Resource | Layer::ResourceControl(_))
        })
    }

    /// The statements of a layer, each with what it says of the request.
    pub(super) fn statements(
        &self,
        layer: Layer,
        policies: &'a [Arc<Policy>],
    ) -> impl Iterator<Item = (Place<'a>, Result<PrincipalMatch, FirstMismatch<'a>>)> {
        let Self { request, walls, bounded, .. } = *self;
        policies.iter().enumerate().flat_map(move |(policy, document)| {
            document.statements().iter().enumerate().map(move |(index, statement)| {
                let place =
                    Place { layer, policy: (policy, document), statement: (index, statement) };
                (place, statement.apply(request, walls, bounded))
            })
        })
    }
}
