# Makes the bucket with versioning, and the user `mlflow` that may read and write there and nowhere else. Idempotent.
# Environment: BUCKET. Secrets: root-password, mlflow-secret-key.
set -euo pipefail

# Keys travel on standard input, so that none is an argument.
printf 'admin\n%s\n' "$(</run/secrets/root-password)" | minio-client alias set --quiet stack http://minio:9000 >/dev/null

minio-client mb --ignore-existing "stack/${BUCKET}"
minio-client version enable "stack/${BUCKET}"

printf 'mlflow\n%s\n' "$(</run/secrets/mlflow-secret-key)" | minio-client admin user add --quiet stack >/dev/null
cat >/tmp/policy.json <<JSON
{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": ["arn:aws:s3:::${BUCKET}"]},
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], "Resource": ["arn:aws:s3:::${BUCKET}/*"]}
  ]
}
JSON
minio-client admin policy create stack mlflow-artifacts /tmp/policy.json

# Attaching twice is refused, so it is asked first.
if minio-client admin user info --json stack mlflow | grep --quiet '"policyName":"mlflow-artifacts"'; then
  echo "policy mlflow-artifacts is attached to user mlflow"
else
  minio-client admin policy attach stack mlflow-artifacts --user mlflow
fi
