//! `mysql_countersign.so`: authentication plugin with which MariaDB and MySQL have the verifier
//! authenticate IAM tokens. Its name is that of RDS's plugin, `AWSAuthenticationPlugin`, so that
//! AWS's statements work unchanged:
//!
//! ```text
//! # my.cnf
//! [mysqld]
//! plugin-load-add                  = mysql_countersign.so
//! awsauthenticationplugin-socket   = /run/countersign/verifier.sock
//! awsauthenticationplugin-instance = orders
//! ```
//! ```sql
//! CREATE USER 'jane_doe' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
//! ALTER USER 'jane_doe'@'%' REQUIRE SSL;
//! ```
//! `awsauthenticationplugin-timeout` bounds the whole exchange between the plugin and the verifier
//! (`5s`). `awsauthenticationplugin-verifier-user` or `-verifier-uid` trusts a verifier that runs
//! neither as root nor as the server's user. The plugin reads the options when it is loaded. If one
//! is invalid, it is not loaded, and accounts that use it cannot log in.
//!
//! Any failure denies the login and writes one line with its class to the server's error log. The
//! copy of the token in the memory of the plugin is wiped; those of the server and its connection
//! are not.

#![cfg(target_os = "linux")]

mod ffi;
mod log;
mod login;
mod settings;
