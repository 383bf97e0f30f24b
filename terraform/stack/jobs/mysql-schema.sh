# Makes the schema and a user, and gives that user what it needs there and nothing else. Idempotent.
# With CHECK=true it only compares: each difference on a line; 0 none, 3 some, 4 the schema is gone.
# Environment: SERVER, SCHEMA, SCHEMA_USER, GRANTS ("<privileges> ON <table or *>", more of them after "; "). Secrets: root.cnf, <user>-password.
set -euo pipefail

# Statements travel on standard input, so that no password is an argument.
root() { mysql --defaults-extra-file=/run/secrets/root.cnf --host="$SERVER" --batch --skip-column-names --connect-timeout=10; }

IFS=';' read -ra grants <<<"$GRANTS"
grants=("${grants[@]# }")
table() { if [[ "$1" == "*" ]]; then echo "\`${SCHEMA}\`.*"; else echo "\`${SCHEMA}\`.\`$1\`"; fi; }

password="$(<"/run/secrets/${SCHEMA_USER}-password")"

if [[ "$CHECK" == true ]]; then
  differences=()
  schema="$(root <<<"SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '${SCHEMA}'")"
  if [[ -z "$schema" ]]; then differences+=("the schema ${SCHEMA} is not there"); fi

  user="$(root <<<"SELECT 1 FROM mysql.user WHERE User = '${SCHEMA_USER}' AND Host = '%'")"
  if [[ -z "$user" ]]; then
    differences+=("the user ${SCHEMA_USER} is not there")
  else
    if ! mysql --defaults-extra-file=<(printf '[client]\nuser=%s\npassword=%s\n' "$SCHEMA_USER" "$password") \
      --host="$SERVER" --execute="SELECT 1" >/dev/null 2>&1; then
      differences+=("the user ${SCHEMA_USER} cannot sign in with the password of the secret file")
    fi

    # One line for each privilege; `SHOW GRANTS` has one for each object.
    account="\`${SCHEMA_USER}\`@\`%\`"
    each() { # privileges with commas between them, what they are granted on
      IFS=, read -ra privileges <<<"$1"
      for privilege in "${privileges[@]}"; do echo "${privilege# } ON $2"; done
    }
    shown="$(root <<<"SHOW GRANTS FOR '${SCHEMA_USER}'@'%'")"
    granted="$(while read -r line; do line="${line#GRANT }"; each "${line%% ON *}" "${line#* ON }"; done <<<"$shown" | sort)"
    wanted="$({
      each USAGE "*.* TO ${account}"
      for grant in "${grants[@]}"; do each "${grant% ON *}" "$(table "${grant##* ON }") TO ${account}"; done
    } | sort)"
    while read -r line; do differences+=("${line} is not granted any more"); done < <(comm -13 <(echo "$granted") <(echo "$wanted"))
    while read -r line; do differences+=("${line} is granted, and was not"); done < <(comm -23 <(echo "$granted") <(echo "$wanted"))
  fi

  if [[ "${#differences[@]}" == 0 ]]; then exit 0; fi
  printf '%s\n' "${differences[@]}"
  if [[ -z "$schema" ]]; then exit 4; fi
  exit 3
fi

root <<SQL
CREATE DATABASE IF NOT EXISTS \`${SCHEMA}\` CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '${SCHEMA_USER}'@'%' IDENTIFIED BY '${password}';
ALTER USER '${SCHEMA_USER}'@'%' IDENTIFIED BY '${password}' ACCOUNT UNLOCK;
REVOKE ALL PRIVILEGES, GRANT OPTION FROM '${SCHEMA_USER}'@'%';
$(for grant in "${grants[@]}"; do echo "GRANT ${grant% ON *} ON $(table "${grant##* ON }") TO '${SCHEMA_USER}'@'%';"; done)
SQL
echo "schema ${SCHEMA} on ${SERVER}: user ${SCHEMA_USER} may ${GRANTS}"
