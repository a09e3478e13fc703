#!/bin/sh
# Random secrets for compose.yaml, in docker/secrets, which git ignores. What is there already stays.
# The folder is the owner's alone; the files can be read by the users inside the containers, whatever their numbers.
set -eu
cd "$(dirname "$0")"
random() { # two digits for each of $1 bytes
  head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}
if [ -d secrets ]; then
  echo "docker/secrets is there already" >&2
  exit 0
fi
umask 077
made=$(mktemp -d ./.secrets-XXXXXX)
random 32 > "$made/ray_token"
random 10 > "$made/s3_user"
random 20 > "$made/s3_password"
random 16 > "$made/grafana_password"
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
  "$(cat "$made/s3_user")" "$(cat "$made/s3_password")" > "$made/s3_credentials"
chmod 0444 "$made"/*
mv "$made" secrets
