-- Creates the RDS master user: not a superuser, but a member of rds_superuser, which has predefined roles.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT 'CREATE ROLE rds_superuser NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') \gexec
SELECT format('GRANT %I TO rds_superuser WITH ADMIN OPTION', rolname) FROM pg_roles
 WHERE rolname IN ('pg_monitor', 'pg_signal_backend', 'pg_checkpoint', 'pg_read_all_data', 'pg_write_all_data',
                   'pg_use_reserved_connections', 'pg_create_subscription', 'pg_maintain') \gexec
SELECT format('CREATE ROLE %I LOGIN CREATEDB CREATEROLE PASSWORD %L', :'name', :'verifier') \gexec
SELECT format('GRANT rds_superuser TO %I', :'name') \gexec
-- Before version 16, CREATEROLE is enough.
SELECT format('GRANT rds_iam TO %I WITH ADMIN OPTION', :'name') WHERE current_setting('server_version_num')::int >= 160000 \gexec
SELECT format('ALTER DATABASE postgres OWNER TO %I', :'name') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'name')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
