api=http://localhost:8000/v1
json='content-type: application/json'
alice=alice$RANDOM bob=bob$RANDOM

# Two users register and log in.
curl -sS $api/auth/register -H "$json" -d "{\"username\": \"$alice\", \"password\": \"correct horse\"}"; echo
curl -sS $api/auth/register -H "$json" -d "{\"username\": \"$bob\", \"password\": \"battery staple\"}"; echo
token() { sed -E 's/.*"access_token": ?"([^"]+)".*/\1/'; }
as_alice="authorization: Bearer $(curl -sS $api/auth/login -H "$json" -d "{\"username\": \"$alice\", \"password\": \"correct horse\"}" | token)"
as_bob="authorization: Bearer $(curl -sS $api/auth/login -H "$json" -d "{\"username\": \"$bob\", \"password\": \"battery staple\"}" | token)"

# Alice invites Bob, and Bob accepts.
first_id() { grep -oE '"id": ?[0-9]+' | head -n 1 | grep -oE '[0-9]+'; }
invitation=$(curl -sS $api/contacts/invite -H "$json" -H "$as_alice" -d "{\"username\": \"$bob\"}" | first_id)
curl -sS -X POST $api/contacts/$invitation/accept -H "$as_bob"; echo

# They now share a room. Alice writes, Bob reads.
room=$(curl -sS $api/rooms -H "$as_alice" | first_id)
curl -sS $api/messages/rooms/$room -H "$json" -H "$as_alice" -d '{"content": "Hello Bob!"}'; echo
curl -sS $api/messages/rooms/$room/history -H "$as_bob"; echo
