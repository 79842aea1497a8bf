//! `mysql_countersign.so`: lets MariaDB and MySQL ask the verifier whether an IAM token may log in. It is the authentication
//! plugin `AWSAuthenticationPlugin`, under the name that RDS's own has, so that AWS's statements work as they are written:
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
//! `awsauthenticationplugin-timeout` bounds all that passes between the plugin and the verifier (`5s`), and
//! `awsauthenticationplugin-verifier-user` or `-verifier-uid` trusts a verifier that runs neither as root nor as the server's
//! own user. The plugin reads them when it is loaded, and is not loaded where one is wrong: accounts that use it can't log in
//! then.
//!
//! Whatever goes wrong means no, and leaves one line in the server's error log with its class. The token stays in the
//! plugin's own memory, which is wiped, and in what the server and its connection had of it before.

#![cfg(target_os = "linux")]

mod ffi;
mod log;
mod login;
mod settings;
