#!/bin/bash
# Makes AIBox's database and its three roles (docs/core.md), once, when the data folder is empty.
set -euo pipefail

psql --username postgres --set=ON_ERROR_STOP=1 \
  --set=owner="${AIBOX_OWNER_PASSWORD:?}" --set=app="${AIBOX_APP_PASSWORD:?}" --set=system="${AIBOX_SYSTEM_PASSWORD:?}" <<'SQL'
CREATE ROLE aibox_owner LOGIN BYPASSRLS CREATEROLE PASSWORD :'owner';
CREATE ROLE aibox_app LOGIN NOBYPASSRLS PASSWORD :'app';
CREATE ROLE aibox_system LOGIN BYPASSRLS PASSWORD :'system';
CREATE DATABASE aibox OWNER aibox_owner;
\connect aibox
GRANT CREATE, USAGE ON SCHEMA public TO aibox_owner;
GRANT USAGE ON SCHEMA public TO aibox_app, aibox_system;
CREATE EXTENSION IF NOT EXISTS vector;
SQL
