#!/bin/sh
# The aws command line and psql, configured by the environment only. Runs the verbs in order, and
# prints one line for each.
#
# usage: client.sh INSTANCE VERB...
set -eu
instance=$1
shift
user=app
# An existing server; `describe` replaces it.
host=${PGHOST:-} port=${PGPORT:-}
export AWS_PAGER='' PGSSLMODE=verify-full PGSSLROOTCERT="${COUNTERSIGN_CA:-}" PGDATABASE=postgres

field() {
    cut -f "$1"
}

connect() {
    psql --no-psqlrc --no-password --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --host="$host" --port="$port" \
        --username="$1" --command="$2"
}

identity() {
    aws sts get-caller-identity --query Arn --output text
}

assume() {
    account=$(aws sts get-caller-identity --query Account --output text)
    session=$(aws sts assume-role --role-arn "arn:aws:iam::$account:role/app-admin" --role-session-name interop \
        --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]' --output text)
    AWS_ACCESS_KEY_ID=$(echo "$session" | field 1)
    AWS_SECRET_ACCESS_KEY=$(echo "$session" | field 2)
    AWS_SESSION_TOKEN=$(echo "$session" | field 3)
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    identity
}

# The password is passed in a private file, since arguments are visible to all users.
create() {
    printf '%s' "$MASTER_PASSWORD" > "$private/password"
    aws rds create-db-instance --db-instance-identifier "$instance" --engine postgres --db-instance-class db.t4g.micro \
        --allocated-storage 20 --master-username master --master-user-password "file://$private/password" \
        --enable-iam-database-authentication --query DBInstance.DBInstanceStatus --output text
}

# The aws command line polls every 30 seconds, which cannot be configured.
wait_until_available() {
    aws rds wait db-instance-available --db-instance-identifier "$instance"
    echo available
}

describe() {
    found=$(aws rds describe-db-instances --db-instance-identifier "$instance" --output text \
        --query 'DBInstances[0].[Endpoint.Address, Endpoint.Port, DbiResourceId, IAMDatabaseAuthenticationEnabled]')
    host=$(echo "$found" | field 1)
    port=$(echo "$found" | field 2)
    echo "$host:$port $(echo "$found" | field 3) iam=$(echo "$found" | field 4 | tr TF tf)"
}

prepare() {
    PGPASSWORD=$MASTER_PASSWORD connect master "CREATE USER $user; GRANT rds_iam TO $user"
    echo "$user"
}

token() {
    password=$(aws rds generate-db-auth-token --hostname "$host" --port "$port" --username "$user")
    echo "${#password}"
}

login() {
    PGPASSWORD=$password connect "$user" 'SELECT current_user'
}

delete() {
    aws rds delete-db-instance --db-instance-identifier "$instance" --skip-final-snapshot \
        --query DBInstance.DBInstanceStatus --output text
}

# Not in a subshell, since verbs set variables for later ones.
private=$(mktemp -d)
trap 'rm -r "$private"' EXIT
for verb in "$@"; do
    case $verb in
        wait) does=wait_until_available ;;
        *) does=$verb ;;
    esac
    echo "$verb:" >&2
    $does > "$private/output"
    echo "$verb $(cat "$private/output")"
done
