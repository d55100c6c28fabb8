# `make` lists the targets. Tools are built into .tools/bin at the versions in tools/versions.txt.
# Nothing is installed outside this folder, except the Debian packages that `make deps` prints.
# macOS has GNU make 3.81, which doesn't know .SHELLFLAGS: recipes with several commands in one line
# set -e themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
BUILDINFO := github.com/salabroker/sala/cmd/sala/internal/buildinfo
LDFLAGS := -s -w -X $(BUILDINFO).version=$(VERSION) -X $(BUILDINFO).commit=$(COMMIT) -X $(BUILDINFO).date=$(DATE)
TOOLS := .tools/bin
LOG := .tools/log
GOTEST ?= go test
RACE ?= $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
SEED ?= 1
N ?= 1000
FUZZ ?=
FUZZTIME ?= 10s
FUZZPROCS ?= 2
VULNDB ?= https://vuln.go.dev
BENCHFLAGS ?=
FAULTFLAGS ?=
SOAKFLAGS ?=
PLATFORMS := linux/arm64 darwin/arm64 darwin/amd64 windows/amd64 windows/arm64
GENERATORS := buf protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# grpcnotrace leaves out a tracing page that nothing serves, and 13 MB with it: docs/adr/0023.
.PHONY: build
build: ## build bin/sala, one static binary, and bin/sala-connect, which "sala connect" runs
	CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags '$(LDFLAGS)' -o bin/sala ./cmd/sala
	cd cmd/sala-connect && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../bin/sala-connect .

.PHONY: test
test: ## run everything: deps, lint, cross, vuln, check-generated, unit, bench-check, chaos-check, sdk-go, sdk-node, sdk-python, e2e
	@tools/test.sh

.PHONY: deps
deps: ## install the tools and packages that the tests need
	@tools/deps.sh

.PHONY: lint
lint: ## buf lint and format, gofmt, go vet, golangci-lint, the words of tools/vocabulary.txt, the layers of broker
	@tools/install.sh buf golangci-lint
	$(TOOLS)/buf lint
	$(TOOLS)/buf format --diff --exit-code
	@set -e; unformatted=$$(go list -f '{{.Dir}}' ./... | xargs gofmt -l); \
	  if [[ -n "$$unformatted" ]]; then echo "gofmt -w is needed on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	cd cmd/sala-connect && ../../$(TOOLS)/golangci-lint run --config ../../bench/.golangci.yml --allow-parallel-runners ./...
	go test -count=1 -run "Vocabulary|Layers" ./tools ./broker

.PHONY: cross
cross: ## go vet of product, tests and sdk/go for the other platforms; 10 s once Go has cached their packages
	@set -e; for platform in $(PLATFORMS); do \
	  echo "go vet for $$platform"; \
	  for module in . sdk/go; do \
	    CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go -C $$module vet ./...; \
	  done; \
	done

.PHONY: vuln
vuln: ## look for known vulnerabilities with govulncheck (VULNDB) and npm audit; skipped if no database can be reached
	@tools/install.sh govulncheck
	@node tools/vuln.mjs $(LOG)/vuln.json $(VULNDB) web/console/package-lock.json web/site/package-lock.json sdk/node/package-lock.json e2e/package-lock.json examples/*/package-lock.json broker/cluster/redisemitter/testdata/package-lock.json

# The race detector needs cgo, which Go turns off if there is no C compiler. `make test` passes
# its own GOTEST, which counts the tests, and insists on the race detector.
.PHONY: unit
unit: ## go test ./..., with the race detector where cgo is available
	$(GOTEST) $(RACE) -timeout 20m ./...
	cd cmd/sala-connect && go test $(RACE) -timeout 10m ./...

.PHONY: sdk-python
sdk-python: ## check the types of the Python library, and test it
	@cd sdk/python && mypy
	@/usr/bin/python3 sdk/python/tools/test.py $(LOG)/sdk-python.json

.PHONY: e2e
e2e: build sdk-node-build ## test bin/sala with real clients: socket.io-client, curl, grpcurl, Chromium
	@tools/install.sh grpcurl
	@cd e2e && npm test --silent

.PHONY: bench
bench: build ## measure bin/sala beside other servers, about 25 minutes; BENCHFLAGS=-quick for a smoke test
	@bench/run $(BENCHFLAGS)

.PHONY: bench-check
bench-check: ## lint and test the module bench/; measures nothing
	@tools/install.sh golangci-lint
	cd bench && ../$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	@cd bench && CGO_ENABLED=1 node ../tools/gotest.mjs ../$(LOG)/bench.json -race -timeout 10m ./internal/... ./line ./load ./process ./results

.PHONY: chaos-check
chaos-check: ## lint and test the module chaos/; breaks nothing
	@tools/install.sh golangci-lint
	cd chaos && ../$(TOOLS)/golangci-lint run --config ../bench/.golangci.yml --allow-parallel-runners ./...
	@cd chaos && CGO_ENABLED=1 node ../tools/gotest.mjs ../$(LOG)/chaos.json -race -timeout 10m ./internal/... ./cmd/chaos

.PHONY: sdk-go
sdk-go: ## lint and test the client library for Go, and check the programs that use it
	@tools/install.sh golangci-lint
	cd sdk/go && ../../$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	@for program in examples/backend-go examples/chat-backend-go e2e/sdk/driver-go; do \
	  echo "go vet of $$program"; go -C $$program vet .; \
	done
	@cd sdk/go && CGO_ENABLED=1 node ../../tools/gotest.mjs ../../$(LOG)/sdk-go.json -race -timeout 10m ./...

.PHONY: sdk-faults
sdk-faults: build sdk-node-build ## kill broker, backends and proxy while clients ask 1,000 times a second, over each client library; about 5 minutes
	@node e2e/sdk/run-faults.mjs

.PHONY: sdk-node-build
sdk-node-build: ## build sdk/node/dist, the client library for Node
	@tools/npm-ci.sh sdk/node
	@cd sdk/node && npm run --silent build

.PHONY: sdk-node
sdk-node: sdk-node-build ## build and test the client library for Node
	@cd sdk/node && npm test --silent

.PHONY: faults
faults: build ## clients of bin/sala stall, vanish and attack; backends, nodes and Redis are killed; about 25 minutes, FAULTFLAGS=-quick for 5
	@chaos/run faults $(FAULTFLAGS)

.PHONY: faults-cluster
faults-cluster: build ## only the fault runs of clusters, about 14 minutes
	@chaos/run faults -only kill-nodes,kill-redis,retries,frozen,kill-pairs,network,refusals,sentinel,redis-cluster,skew,rolling,membership,presence,recovery-cluster,rolling-recovery $(FAULTFLAGS)

.PHONY: soak
soak: build ## 20 minutes of clients that come and go, attacks and faults: does bin/sala grow? SOAKFLAGS="-duration 2m" for a smoke test
	@chaos/run soak $(SOAKFLAGS)

.PHONY: simulate
simulate: ## simulate session recovery for N seeds (1000) from SEED (1); docs/simulation.md
	@tools/simulate.sh $(SEED) $(N)

# By default Go minimises each new input for up to a minute and explores nothing meanwhile: with
# large inputs 80 executions a second instead of 20,000.
.PHONY: fuzz
fuzz: ## run each fuzz target, or those that match FUZZ, for FUZZTIME (10s) on FUZZPROCS (2) processors; commit the failing inputs in testdata/fuzz
	@failed=0; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz.*$(FUZZ)' "$$package" | grep '^Fuzz' || true); do \
	    echo "== $$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x -parallel $(FUZZPROCS) "$$package" || failed=1; \
	  done; \
	done; exit $$failed

.PHONY: generate
generate: ## generate gen/, api/openapi/, broker/cluster/wire/ and the code of sdk/ from proto/, and docs/reference/ from the code
	@tools/install.sh $(GENERATORS)
	$(TOOLS)/buf generate
	$(TOOLS)/buf generate --template buf.gen.cluster.yaml
	$(TOOLS)/buf generate --template buf.gen.sdk.yaml
	@sdk/python/tools/generate.sh
	@tools/npm-ci.sh sdk/node
	$(TOOLS)/buf generate --template buf.gen.node.yaml
	@tools/reference.sh docs/reference

.PHONY: console
console: ## check web/console and build api/console/dist from it
	@tools/npm-ci.sh web/console
	@cd web/console && npm run --silent check && npm run --silent build

.PHONY: site
site: ## build the documentation site from docs/ into web/site/dist
	@tools/npm-ci.sh web/site
	@cd web/site && npm run --silent build

.PHONY: console-scale
console-scale: build ## what the console costs with 15,000 sockets in 100,000 rooms, about 6 minutes; CLIENTS, ROOMS and SECONDS in the environment
	@cd bench && CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/crowd
	@node e2e/scale/console.mjs

.PHONY: check-generated
check-generated: ## fail if `make generate` or `make console` would change anything
	@tools/install.sh $(GENERATORS)
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  $(TOOLS)/buf generate -o "$$fresh"; \
	  $(TOOLS)/buf generate --template buf.gen.cluster.yaml -o "$$fresh"; \
	  $(TOOLS)/buf generate --template buf.gen.sdk.yaml -o "$$fresh"; \
	  tools/npm-ci.sh sdk/node; \
	  $(TOOLS)/buf generate --template buf.gen.node.yaml -o "$$fresh"; \
	  for dir in gen api/openapi broker/cluster/wire sdk/go/salav1 sdk/node/src/gen; do \
	    if ! diff -r "$$dir" "$$fresh/$$dir"; then echo "$$dir is stale: run 'make generate' and commit it"; exit 1; fi; \
	  done
	@sdk/python/tools/generate.sh --check
	@echo "gen/, api/openapi/, broker/cluster/wire/ and the code of sdk/ are what proto/ generates"
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  tools/reference.sh "$$fresh"; \
	  if ! diff -r docs/reference "$$fresh"; then echo "docs/reference is stale: run 'make generate' and commit it"; exit 1; fi
	@echo "docs/reference is what the code says"
	@tools/npm-ci.sh web/console
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  (cd web/console && npm run --silent check && npm run --silent build "$$fresh"); \
	  if ! diff -rq api/console/dist "$$fresh"; then echo "api/console/dist is stale: run 'make console' and commit it"; exit 1; fi
	@echo "api/console/dist is what web/console builds"

# Snapshots follow the last tag, or v0.0.0. Only a real release signs, pushes images and uploads:
# docs/releases.md. goreleaser looks at the commit only if there is a remote, which a copy may lack.
.PHONY: release-snapshot
release-snapshot: ## build the archives, packages, SBOMs and checksums of a release into dist/, without publishing
	@tools/install.sh goreleaser cyclonedx-gomod
	@set -e; export GORELEASER_CURRENT_TAG="$$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null || echo v0.0.0)"; \
	  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=https://github.com/salabroker/sala; \
	  PATH="$$PWD/$(TOOLS):$$PATH" $(TOOLS)/goreleaser release --snapshot --clean --skip=sign,docker

.PHONY: release-check
release-check: ## install the packages of dist/ into a clean Debian, run them and remove them; needs root, debootstrap and rpm
	@tools/release-check.sh

.PHONY: chart-check
chart-check: ## lint the Helm chart, and compare what it renders with deploy/kubernetes
	@tools/install.sh helm
	cd deploy/helm && go vet ./... && go test -count=1 ./...

.PHONY: clean
clean: ## remove build results, but not the tools
	rm -rf bin dist $(LOG) e2e/artifacts
