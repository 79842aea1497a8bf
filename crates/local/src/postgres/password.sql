-- Neither the password nor what the server keeps of it is logged.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT format('ALTER ROLE %I PASSWORD %L', :'name', :'verifier') \gexec
