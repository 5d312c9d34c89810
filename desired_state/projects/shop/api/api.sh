#!/bin/sh
# Answers with the greeting and the schema that the job has left in the data volume.
set -eu
mkdir -p /tmp/www
echo "$GREETING $LEVEL $(cat /data/schema)" > /tmp/www/index.html
exec httpd -f -p 8081 -h /tmp/www
