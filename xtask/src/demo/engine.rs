//! Database engines: names, variables, queries.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Postgres,
    Mariadb,
    Mysql,
}

impl Engine {
    /// Name in `countersign local`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }

    pub(super) const fn client(self) -> &'static str {
        match self {
            Self::Postgres => "psql",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    /// Variables of `local env` for host, port, user and CA.
    pub(super) const fn variables(self) -> [&'static str; 4] {
        match self {
            Self::Postgres => ["PGHOST", "PGPORT", "PGUSER", "PGSSLROOTCERT"],
            Self::Mariadb | Self::Mysql => {
                ["MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_USER", "MYSQL_SSL_CA"]
            }
        }
    }

    /// Query for the user and the TLS version of the session.
    pub(super) const fn query(self) -> &'static str {
        match self {
            Self::Postgres => {
                "select current_user, version from pg_stat_ssl where ssl and pid = pg_backend_pid()"
            }
            Self::Mariadb => {
                "select current_user(), variable_value from information_schema.session_status \
                 where variable_name = 'Ssl_version'"
            }
            Self::Mysql => {
                "select current_user(), variable_value from performance_schema.session_status \
                 where variable_name = 'Ssl_version'"
            }
        }
    }

    /// Arguments of `countersign local` that run SQL as the administrator.
    pub(super) const fn administration(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["psql", "--", "--quiet", "--command"],
            Self::Mariadb => &["mysql", "--engine", "mariadb", "--", "--execute"],
            Self::Mysql => &["mysql", "--engine", "mysql", "--", "--execute"],
        }
    }
}
