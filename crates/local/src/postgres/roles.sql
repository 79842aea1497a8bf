-- RDS role: its members log in with IAM.
SELECT 'CREATE ROLE rds_iam NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') \gexec
