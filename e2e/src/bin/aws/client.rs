//! Rows of the table: the AWS clients, and how each is started.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_e2e::run;

/// A set of clients that is installed together, and missing together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kit {
    Shell,
    Python,
    Node,
    Go,
    Java,
    Rust,
}

impl Kit {
    /// Name for `--without`; also the directory below `--tools`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Shell => "aws-shell",
            Self::Python => "aws-python",
            Self::Node => "aws-node",
            Self::Go => "aws-go",
            Self::Java => "aws-java",
            Self::Rust => "aws-rust",
        }
    }
}

/// Directories of the programs.
pub(crate) struct Place<'a> {
    /// Installed and built clients, a directory per kit.
    pub(crate) tools: &'a Path,
}

/// Source of a client's version.
enum Version {
    /// Output of the program, after this mark.
    Said(&'static str, &'static str),
    /// This file, after this name.
    Pinned(&'static str, &'static str),
}

/// An AWS client.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) kit: Kit,
    version: Version,
    /// Endpoint variables besides `AWS_ENDPOINT_URL`, if credentials come from a source.
    pub(crate) endpoints: &'static [&'static str],
}

pub(crate) const CLIENTS: [Client; 6] = [
    Client {
        name: "aws-cli",
        kit: Kit::Shell,
        version: Version::Said("aws", "aws-cli/"),
        endpoints: &[],
    },
    Client {
        name: "aws-sdk-rust",
        kit: Kit::Rust,
        version: Version::Pinned("rust/Cargo.toml", "aws-sdk-rds ="),
        endpoints: &[],
    },
    Client {
        name: "boto3",
        kit: Kit::Python,
        version: Version::Pinned("python/requirements.txt", "boto3="),
        endpoints: &[],
    },
    Client {
        name: "aws-sdk-js",
        kit: Kit::Node,
        version: Version::Pinned("node/package.json", "client-rds\""),
        endpoints: &[],
    },
    Client {
        name: "aws-sdk-go",
        kit: Kit::Go,
        version: Version::Pinned("go/go.mod", "service/rds v"),
        // It creates the clients for credentials before it reads AWS_ENDPOINT_URL
        // (config/config.go).
        endpoints: &["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SSO"],
    },
    Client {
        name: "aws-sdk-java",
        kit: Kit::Java,
        version: Version::Pinned("java/pom.xml", "<artifactId>rds<"),
        endpoints: &[],
    },
];

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aws").join(file)
}

impl Client {
    /// Returns the command line.
    pub(crate) fn command(&self, place: &Place<'_>) -> Vec<OsString> {
        let tool = |file: &str| place.tools.join(self.kit.name()).join(file).into_os_string();
        match self.kit {
            Kit::Shell => vec![source("shell/client.sh").into_os_string()],
            Kit::Python => vec![tool("bin/python"), source("python/client.py").into_os_string()],
            Kit::Node => vec!["node".into(), tool("client.mjs")],
            Kit::Go => vec![tool("client")],
            Kit::Java => {
                let mut path = tool("classes:");
                path.push(tool("lib/*"));
                vec![
                    "java".into(),
                    "-XX:TieredStopAtLevel=1".into(),
                    "-cp".into(),
                    path,
                    "Client".into(),
                ]
            }
            // In the target directory shared with this program.
            Kit::Rust => vec![
                std::env::current_exe()
                    .unwrap_or_default()
                    .with_file_name("aws-sdk-client")
                    .into_os_string(),
            ],
        }
    }

    /// Returns the version, or the reason why it is unknown.
    pub(crate) fn version(&self) -> Result<String, String> {
        match self.version {
            Version::Said(program, mark) => {
                let output = run(Command::new("env").arg(program).arg("--version"));
                let version = output.out.split_once(mark).and_then(|(_, rest)| number(rest));
                version.ok_or_else(|| format!("{program} --version: {} {}", output.out, output.err))
            }
            Version::Pinned(file, name) => {
                let path = source(file);
                let text = fs::read_to_string(&path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let version = text.split_once(name).and_then(|(_, rest)| {
                    number(rest.get(rest.find(|c: char| c.is_ascii_digit())?..)?)
                });
                version.ok_or_else(|| format!("{} pins no {name}", path.display()))
            }
        }
    }
}

/// Extracts the version at the start of a text.
fn number(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (end > 0).then(|| text.get(..end).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
