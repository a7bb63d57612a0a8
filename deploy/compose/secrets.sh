#!/bin/sh
# Makes the secrets that are not there yet, and gives each part its own and no other: /secrets has all of them, /of/<part> is what that
# part finds in /run/secrets. Run at every start; what is there stays.
set -eu

# The secret of this name, made when it is first wanted.
secret() {
    file=/secrets/$1
    if [ ! -s "$file" ]; then
        (umask 077 && od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file.new")
        mv "$file.new" "$file"
    fi
    cat "$file"
}

# give PART FILE: what is on the standard input. Whoever can look into the folder may read it: nobody else is given it.
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
