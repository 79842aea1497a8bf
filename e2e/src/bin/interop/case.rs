//! The columns: what is tried, and what should come of it.

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// The token of a long-term key.
    Short,
    /// A session's token of this length in all.
    Long(usize),
    /// A signature with another last digit.
    Tampered,
    /// A good token, and no TLS.
    Plain,
    /// A good token, to a server whose certificate has another name.
    OtherName,
    /// A good token, to a server whose certificate has another address.
    OtherAddress,
    /// No token: `countersign proxy` is in between, and the driver has a password that means nothing. No TLS on its side.
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

/// What has to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The login opens, over TLS.
    Opens,
    /// The server refuses it.
    Denied,
    /// The driver does not go on, and says this. The server is not asked.
    Refused(&'static str),
    /// The driver does not go on, and says this, but has sent the token: the server has asked the authority.
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
