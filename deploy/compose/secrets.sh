#!/bin/sh
# Generates missing secrets, and hands each part its own: /secrets holds all of them, /of/<part> is
# what a part finds in /run/secrets. Runs at every start; existing secrets stay.
set -eu

# Prints the secret of this name, generated at its first use.
secret() {
    file=/secrets/$1
    if [ ! -s "$file" ]; then
        (umask 077 && od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file.new")
        mv "$file.new" "$file"
    fi
    cat "$file"
}

# give PART FILE: writes standard input to the file. Only the part mounts the folder.
give() {
    cat >"/of/$1/$2.new"
    chmod 444 "/of/$1/$2.new"
    mv -f "/of/$1/$2.new" "/of/$1/$2"
}

internal_token=$(secret internal-token)
for part in gateway auth contacts rooms messaging; do
    echo "$internal_token" | give $part internal-token
done

for service in auth contacts rooms messaging; do
    password=$(secret $service-password)
    echo "postgres://$service:$password@postgres:5432/parlance" | give $service database-url
done
password=$(secret postgres-password)
echo "$password" | give postgres password

password=$(secret redis-password)
echo "redis://messaging:$password@redis:6379" | give messaging redis-url
sed "s/REDIS_PASSWORD/$password/" /redis.conf | give redis redis.conf

password=$(secret grafana-password)
echo "$password" | give grafana password
