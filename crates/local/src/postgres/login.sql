-- A database user who logs in with IAM: CREATE USER and GRANT, as AWS's guide has them.
SELECT format('CREATE USER %I WITH LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
SELECT format('GRANT rds_iam TO %I', :'name') \gexec
