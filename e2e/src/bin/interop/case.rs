//! Columns of the table: the cases, and their expected results.

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Token of a long-term key.
    Short,
    /// Token of a session, of this total length.
    Long(usize),
    /// Token whose signature has another last digit.
    Tampered,
    /// Valid token without TLS.
    Plain,
    /// Valid token for a server whose certificate has another host name.
    OtherName,
    /// Valid token for a server whose certificate has another address.
    OtherAddress,
    /// No token: the driver connects to `countersign proxy` without TLS, with a meaningless
    /// password.
    Proxy,
}

pub(crate) const CASES: [Case; 8] = [
    Case::Short,
    Case::Long(1_900),
    Case::Long(8_000),
    Case::Tampered,
    Case::Plain,
    Case::OtherName,
    Case::OtherAddress,
    Case::Proxy,
];

/// Expected result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The login succeeds, over TLS.
    Opens,
    /// The server rejects the login.
    Denied,
    /// The driver stops with this message before it contacts the authority.
    Refused(&'static str),
    /// The driver stops with this message after it sent the token: the authority has decided.
    Late(&'static str),
}

impl Case {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Short => "400",
            Self::Long(1_900) => "1,900",
            Self::Long(_) => "8,000",
            Self::Tampered => "tampered",
            Self::Plain => "no TLS",
            Self::OtherName => "other name",
            Self::OtherAddress => "other address",
            Self::Proxy => "proxy",
        }
    }
}
