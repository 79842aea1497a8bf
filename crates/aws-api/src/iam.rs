//! IAM: identities and their policies.

mod access_key;
mod account;
mod attachment;
mod boundary;
mod context_key;
mod details;
mod entity;
mod group;
mod identity;
mod inline;
mod policy;
mod profile;
mod provider;
mod role;
mod simulation;
mod tag;
mod tag_set;
mod user;
mod version;

use super::action::Service;

/// Source: IAM API reference, version 2010-05-08.
pub(super) const IAM: Service = Service {
    name: "iam",
    version: "2010-05-08",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    actions: &[
        user::ACTIONS,
        group::ACTIONS,
        access_key::ACTIONS,
        role::ACTIONS,
        profile::ACTIONS,
        policy::ACTIONS,
        version::ACTIONS,
        inline::ACTIONS,
        attachment::ACTIONS,
        boundary::ACTIONS,
        provider::ACTIONS,
        tag::ACTIONS,
        account::ACTIONS,
        details::ACTIONS,
        simulation::ACTIONS,
        context_key::ACTIONS,
    ],
};

#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
