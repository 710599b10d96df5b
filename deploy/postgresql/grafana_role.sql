-- The role Grafana connects as: it reads the views of city_view, the server's own statistics, and nothing else.
-- Run by psql as the owner (citynerve) before or after `citynerve migrate`; a second run changes nothing but the password.
--   psql -v password=... -f grafana_role.sql citynerve
SELECT 'CREATE ROLE grafana LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') \gexec
ALTER ROLE grafana PASSWORD :'password';
ALTER ROLE grafana SET statement_timeout = '15s';
ALTER ROLE grafana SET default_transaction_read_only = on;
GRANT pg_monitor TO grafana;
CREATE SCHEMA IF NOT EXISTS city_view;
GRANT USAGE ON SCHEMA city_view TO grafana;
GRANT SELECT ON ALL TABLES IN SCHEMA city_view TO grafana;
ALTER DEFAULT PRIVILEGES IN SCHEMA city_view GRANT SELECT ON TABLES TO grafana;
