-- Creates a database user that logs in with IAM, as in the AWS guide.
SELECT format('CREATE USER %I WITH LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
SELECT format('GRANT rds_iam TO %I', :'name') \gexec
