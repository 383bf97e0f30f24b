# Makes the bucket with versioning, and the user `mlflow` that may read and write there and nowhere else. Idempotent.
# With CHECK=true it only compares: each difference on a line; 0 none, 3 some, 4 the bucket is gone.
# Environment: BUCKET, RETENTION_DAYS. Secrets: root-password, mlflow-secret-key.
set -euo pipefail

# Keys travel on standard input, so that none is an argument.
sign_in() { printf '%s\n%s\n' "$2" "$(<"/run/secrets/$3")" | minio-client alias set --quiet "$1" http://minio:9000; }

sign_in stack admin root-password >/dev/null

cat >/tmp/policy.json <<JSON
{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": ["arn:aws:s3:::${BUCKET}"]},
    {"Effect": "Allow", "Action": ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"], "Resource": ["arn:aws:s3:::${BUCKET}/*"]}
  ]
}
JSON

if [[ "$CHECK" == true ]]; then
  # An answer that says "not there" ends with an error too; it is the text that counts. That MinIO answers is known by now.
  ask() { if ! minio-client "$@" --json 2>&1; then return 0; fi; }
  differences=()
  bucket="$(ask version info "stack/${BUCKET}")"
  if [[ "$bucket" == *NoSuchBucket* ]]; then
    differences+=("the bucket ${BUCKET} is not there")
  elif [[ "$bucket" != *'"status":"Enabled"'* ]]; then
    differences+=("the bucket ${BUCKET} has no versioning")
  elif [[ "$(ask anonymous get "stack/${BUCKET}")" != *'"permission":"private"'* ]]; then
    differences+=("the bucket ${BUCKET} is open to everybody")
  fi

  user="$(ask admin user info stack mlflow)"
  if [[ "$user" == *NoSuchUser* ]]; then
    differences+=("the user mlflow is not there")
  elif [[ "$user" != *'"userStatus":"enabled"'* ]]; then
    differences+=("the user mlflow is disabled")
  elif ! sign_in user mlflow mlflow-secret-key >/dev/null 2>&1; then
    differences+=("the key of the user mlflow is not that of the secret file")
  elif [[ "$user" != *'"policyName":"mlflow-artifacts"'* ]]; then
    differences+=("the user mlflow has other policies than mlflow-artifacts")
  fi

  # One line for each statement, its words in order: MinIO gives back the actions in any.
  words() {
    tr --delete ' \n' | tr '}' '\n' | grep '"Effect"' | while read -r statement; do
      grep --only-matching '"[^"]*"' <<<"${statement##*\{}" | sort | paste --serial --delimiters=' '
    done | sort
  }
  policy="$(ask admin policy info stack mlflow-artifacts)"
  if [[ "$policy" != *'"Effect"'* ]]; then
    differences+=("the policy mlflow-artifacts is not there")
  elif [[ "$(words <<<"$policy")" != "$(words </tmp/policy.json)" ]]; then
    differences+=("the policy mlflow-artifacts allows something else")
  fi

  if [[ "${#differences[@]}" == 0 ]]; then exit 0; fi
  printf '%s\n' "${differences[@]}"
  if [[ "${differences[0]}" == "the bucket ${BUCKET} is not there" ]]; then exit 4; fi
  exit 3
fi

minio-client mb --ignore-existing "stack/${BUCKET}"
minio-client version enable "stack/${BUCKET}"
minio-client anonymous set private "stack/${BUCKET}"
# What was deleted or replaced stays as an older version; without an end the bucket would only ever grow.
minio-client ilm rule import "stack/${BUCKET}" <<JSON
{
  "Rules": [
    {
      "ID": "retention",
      "Status": "Enabled",
      "Expiration": {"ExpiredObjectDeleteMarker": true},
      "NoncurrentVersionExpiration": {"NoncurrentDays": ${RETENTION_DAYS}}
    }
  ]
}
JSON

printf 'mlflow\n%s\n' "$(</run/secrets/mlflow-secret-key)" | minio-client admin user add --quiet stack >/dev/null
minio-client admin user enable stack mlflow
minio-client admin policy create stack mlflow-artifacts /tmp/policy.json

# Attaching or detaching twice is refused, so it is asked first.
attached="$(minio-client admin user info --json stack mlflow | sed -n 's/.*"policyName":"\([^"]*\)".*/\1/p' | tr ',' '\n')"
for policy in $attached; do
  if [[ "$policy" != mlflow-artifacts ]]; then minio-client admin policy detach stack "$policy" --user mlflow; fi
done
if grep --quiet --line-regexp mlflow-artifacts <<<"$attached"; then
  echo "policy mlflow-artifacts is attached to user mlflow"
else
  minio-client admin policy attach stack mlflow-artifacts --user mlflow
fi
