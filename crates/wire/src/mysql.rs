//! MySQL and MariaDB, handshake v10.
