# Makes the schema and its one user, and gives that user what it needs there and nothing else. Idempotent.
# Environment: SERVER, SCHEMA, SCHEMA_USER, GRANTS. Secrets: root.cnf, <user>-password.
set -euo pipefail

password="$(<"/run/secrets/${SCHEMA_USER}-password")"

# Statements travel on standard input, so that no password is an argument.
mysql --defaults-extra-file=/run/secrets/root.cnf --host="$SERVER" --batch <<SQL
CREATE DATABASE IF NOT EXISTS \`${SCHEMA}\` CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '${SCHEMA_USER}'@'%' IDENTIFIED BY '${password}';
ALTER USER '${SCHEMA_USER}'@'%' IDENTIFIED BY '${password}';
REVOKE ALL PRIVILEGES, GRANT OPTION FROM '${SCHEMA_USER}'@'%';
GRANT ${GRANTS} ON \`${SCHEMA}\`.* TO '${SCHEMA_USER}'@'%';
SQL
echo "schema ${SCHEMA} on ${SERVER}: user ${SCHEMA_USER} may ${GRANTS}"
