# All tasks of a developer. `make` lists them.

# The number of replicas of each part that `make up` starts, and the address of the first gateway.
REPLICAS ?= 1
PORT ?= 8000
HOST ?= 127.0.0.1

# Builds use the committed descriptions of SQL statements, whatever database the environment names.
export SQLX_OFFLINE := true

PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug
SCENARIO_OPTION = $(if $(SCENARIO),--scenario $(SCENARIO))
QUICK_OPTION = $(if $(filter-out 0,$(QUICK)),--quick)

.PHONY: help up reset test test-compose chaos bench drill lint format clippy doc sqlx
.PHONY: k8s images observability dashboards settings prepare install programs devstack

help: ## list the tasks
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

up: install ## run Parlance until Ctrl-C (REPLICAS=2, PORT=8000, HOST=127.0.0.1)
	cargo build --package parlance-devstack --package parlance-gateway --package parlance-auth \
		--package parlance-contacts --package parlance-rooms --package parlance-messaging
	@exec $(PROGRAMS)/devstack up --replicas $(REPLICAS) --port $(PORT) --host $(HOST)

reset: devstack ## delete the data of `make up`
	@$(PROGRAMS)/devstack reset

test: install programs ## run all tests, on private servers
	@scripts/install tests
	cargo test --workspace

test-compose: ## run docker-compose.yml on a Docker engine and inject faults
	@scripts/install compose
	cargo build --workspace --bin chaos
	@scripts/test-compose

# chaos needs three descriptors per client: its own, and both sides of the proxy.
chaos: install programs ## inject faults and check that nothing is lost (SEED=1, QUICK=1, SCENARIO=name)
	@ulimit -S -n "$$(ulimit -H -n)" || true; \
		exec $(PROGRAMS)/chaos $(if $(SEED),--seed $(SEED)) $(QUICK_OPTION) $(SCENARIO_OPTION)

bench: install ## measure Parlance beside baselines (SCENARIO=hot-room,many-rooms, QUICK=1, REPLICAS=2)
	cargo build --profile dist --workspace --bins
	@exec $(PROGRAMS:debug=dist)/bench --replicas $(REPLICAS) $(SCENARIO_OPTION) $(QUICK_OPTION)

drill: install ## restore a backup into a private Postgres (BACKUP=file)
	@scripts/drill "$(BACKUP)"

lint: format k8s images observability clippy doc sqlx ## run all checks but the tests

format: ## check the formatting
	cargo fmt --all --check

clippy: install ## run clippy
	cargo clippy --workspace --all-targets -- -D warnings

doc: install ## build the documentation of the code
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

sqlx: install devstack ## check the descriptions of SQL statements
	$(PROGRAMS)/devstack prepare --check

k8s: ## check the Kubernetes manifests
	@scripts/install k8s
	@scripts/check-k8s

images: ## check the Dockerfile and all shell scripts
	@scripts/install k8s
	@scripts/check-images

observability: ## check the configuration of Prometheus, the alerts and the dashboards
	@scripts/install k8s
	@scripts/check-observability

dashboards: ## generate the dashboards after a change of dashboards.yaml
	@scripts/install k8s
	@"$$(scripts/tools)/python" -B scripts/observability/dashboards.py

settings: programs ## generate docs/configuration.md after a change of settings
	UPDATE_DOCS=1 cargo test --workspace --test settings

prepare: install devstack ## describe the SQL statements after a change of statements or migrations
	$(PROGRAMS)/devstack prepare

install:
	@scripts/install

programs:
	cargo build --workspace --bins

# --workspace keeps the features of libraries the same as in all other builds.
devstack:
	cargo build --workspace --bin devstack
