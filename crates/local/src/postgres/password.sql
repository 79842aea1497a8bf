-- Neither the password nor its SCRAM verifier is logged.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT format('ALTER ROLE %I PASSWORD %L', :'name', :'verifier') \gexec
