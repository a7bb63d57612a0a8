# Everything a developer does. `make` lists it.

# How many of each part `make up` starts, and the port of the first gateway.
REPLICAS ?= 1
PORT ?= 8000
HOST ?= 127.0.0.1

# Builds take the descriptions of SQL statements from the folders .sqlx, whatever database the environment names.
export SQLX_OFFLINE := true

PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

.PHONY: help up reset test chaos bench drill lint format clippy doc sqlx configuration k8s images observability dashboards settings prepare install programs devstack test-compose

help: ## list what can be made
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

up: install programs ## run Parlance on this machine until Ctrl-C (REPLICAS=2, PORT=8000, HOST=127.0.0.1)
	@exec $(PROGRAMS)/devstack up --replicas $(REPLICAS) --port $(PORT) --host $(HOST)

reset: devstack ## delete the data of `make up`
	@$(PROGRAMS)/devstack reset

test: install programs ## run all tests, on private servers of their own
	cargo test --workspace

test-compose: ## run docker-compose.yml on a Docker engine, and hurt it
	@scripts/install compose
	cargo build --workspace --bin chaos
	@scripts/test-compose

chaos: install programs ## hurt a private Parlance and prove that nothing is lost (SEED=1, QUICK=1, SCENARIO=slow-readers|redis-away)
	@# Three descriptors for each client: its own, and both sides of the proxy before the gateway.
	@ulimit -S -n "$$(ulimit -H -n)" || true; exec $(PROGRAMS)/chaos $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(QUICK)),--quick) $(if $(SCENARIO),--scenario $(SCENARIO))

bench: install ## measure a private Parlance beside yardsticks (SCENARIO=hot-room,many-rooms for some, QUICK=1, REPLICAS=2)
	cargo build --profile dist --workspace --bins
	@exec $(PROGRAMS:debug=dist)/bench --replicas $(REPLICAS) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(filter-out 0,$(QUICK)),--quick)

drill: install ## restore a backup into a private Postgres, to see that it can be done (BACKUP=file)
	@scripts/drill "$(BACKUP)"

lint: format k8s images observability clippy doc sqlx configuration ## check formatting, lints, documentation, SQL statements, the list of settings, images, Kubernetes manifests, alerts and dashboards

format:
	cargo fmt --all --check

clippy: install
	cargo clippy --workspace --all-targets -- -D warnings

doc: install
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

sqlx: install devstack
	$(PROGRAMS)/devstack prepare --check

configuration: programs
	@$(PROGRAMS)/devstack settings --check

k8s: ## check the Kubernetes manifests
	@scripts/install k8s
	@scripts/check-k8s

images: ## check what the images are built from, and all shell scripts
	@scripts/install k8s
	@scripts/check-images

observability: ## check the configuration of Prometheus, the alerts and the dashboards
	@scripts/install k8s
	@scripts/check-observability

dashboards: ## write the dashboards anew after a change of scripts/observability
	@python3 -B scripts/observability/dashboards.py

settings: programs ## write docs/configuration.md anew after a change of settings
	@$(PROGRAMS)/devstack settings

prepare: install devstack ## describe the SQL statements anew after a change of statements or migrations
	$(PROGRAMS)/devstack prepare

install:
	@scripts/install

programs:
	cargo build --workspace --bins

# The workspace is named so that libraries are built with the same features as for everything else, and once.
devstack:
	cargo build --workspace --bin devstack
