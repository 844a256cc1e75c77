#!/bin/sh
# Starts SeaweedFS with one identity, from the environment, and makes the bucket `aibox`.
set -eu

umask 077
: "${S3_ACCESS_KEY:?set it in .env}" "${S3_SECRET_KEY:?set it in .env}"
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "aibox", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$S3_ACCESS_KEY", "secretKey": "$S3_SECRET_KEY"}]}]}
JSON
(
  until echo "s3.bucket.create -name aibox" | weed shell -master=localhost:9333 >/dev/null 2>&1; do sleep 1; done
) &
exec weed server -dir=/data -ip.bind=0.0.0.0 -filer -s3 -s3.port=8333 -s3.config=/tmp/s3.json \
  -master.volumeSizeLimitMB=1024 -master.telemetry=false
