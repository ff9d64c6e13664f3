# `make demo` and `make test` are all a newcomer needs; scripts/need.sh gets
# what they need or says what to install.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.version=$(VERSION)
STATIC   = CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)"

# For lists in calls of functions.
comma := ,

# Version tag of the images of `make image` and `make demo`.
TAG ?= local

.PHONY: help build image demo demo-stop test unit unit-std e2e e2e-std e2e-compose-v2 check lint vuln fuzz bench microbench pgo clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## the static binaries, into bin/
	@scripts/need.sh go
	$(STATIC) -o bin/fairlead ./cmd/fairlead
	$(STATIC) -o bin/ ./test/apps/...

image: build ## the images fairlead:local, fairlead-whoami:local, fairlead-socketfilter:local; pulls nothing
	@scripts/need.sh engine
	docker build --quiet --target local -t fairlead:$(TAG) .
	docker build --quiet --target whoami-local -t fairlead-whoami:$(TAG) -f test/apps/Dockerfile .
	docker build --quiet --target socketfilter-local -t fairlead-socketfilter:$(TAG) -f test/apps/Dockerfile .

demo: ## the quickstart on this machine's engine: a request answered, a wrong label explained
	@scripts/demo.sh

demo-stop: ## removes what `make demo` started
	@scripts/demo-stop.sh

test: unit unit-std e2e e2e-std ## unit and end-to-end tests

# The race detector needs a C compiler. What things cost is counted without it,
# for it has pools drop what they are given.
unit: ## unit tests with the race detector
	@scripts/need.sh go gcc
	go test -race $$(go list ./... | grep -v /test/e2e)
	go test -count=1 -run 'Allocat|Costs|IsSmall' ./cmd/fairlead ./exchange ./routing/... ./server/... ./telemetry

unit-std: ## those that requests go through once more, by net/http's engine
	@scripts/need.sh go gcc
	FAIRLEAD_ENGINE=std go test -race ./cmd/fairlead ./exchange ./routing/backend

e2e: ## end-to-end tests on this machine's engine
	@scripts/need.sh go curl chromium certutil testssl openssl ip nginx engine compose
	go test -count=1 -timeout 40m ./test/e2e/...

# Those whose outcome is the engine's too: traffic through deploys and deaths,
# streams, bodies, malformed requests, the end of the proxy.
STD_E2E = Bodies|Recreated|Replaced|Scal|Death|Paused|Hangup|CrashLoop|Stopped|UnderWay|SIGTERM|WebSocket|ServerSent|Malformed|Upgrades|SlowStarter|AwayForAWhile
e2e-std: ## end-to-end tests of traffic once more, by net/http's engine
	@scripts/need.sh go curl chromium certutil testssl engine compose
	FAIRLEAD_ENGINE=std go test -count=1 -timeout 20m -run '$(STD_E2E)' ./test/e2e/...

# The distribution may have only Compose v1; v2 is built from its Go module.
e2e-compose-v2: ## the examples once more, with Compose v2
	@scripts/need.sh go engine
	go build -modfile=tools/compose.mod -o bin/docker-compose-v2 github.com/docker/compose/v2/cmd
	COMPOSE=$(CURDIR)/bin/docker-compose-v2 go test -count=1 -timeout 10m -run 'TestExample' ./test/e2e/...

check: lint vuln ## everything that needs no engine: format, vet, staticcheck, vulnerabilities, size, house rules

# The last three hold the arrows between the rooms, and what is generated.
lint:
	@scripts/need.sh go
	@scripts/lint.sh
	go vet ./...
	go tool -modfile=tools/staticcheck.mod staticcheck ./...
	@scripts/size.sh
	go test -count=1 .
	go run ./cmd/fairlead labels --markdown | diff docs/labels.md -
	go run ./cmd/fairlead labels --schema | diff docs/labels.schema.json -

vuln:
	@scripts/vuln.sh

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME (20s) each
	@scripts/need.sh go
	@scripts/fuzz.sh $(FUZZTIME)

# One command: our binary beside others, docs/performance.md. For a quick look:
# make bench ROUNDS=1 SECONDS=2 SCENARIOS=small PEERS=nginx
ROUNDS    ?= 5
SECONDS   ?= 3
SCENARIOS ?= all
PEERS     ?= nginx,haproxy,caddy
OURS      ?= fairlead
bench: ## our binary beside nginx, HAProxy and Caddy: cost per request (docs/performance.md)
	@scripts/need.sh go wrk h2load $(sort $(patsubst nginx-%,nginx,$(filter nginx nginx-tuned haproxy caddy,$(subst $(comma), ,$(PEERS)))))
	$(STATIC) -o bin/fairlead ./cmd/fairlead
	go build -o bin/bench ./bench
	bin/bench -rounds $(ROUNDS) -seconds $(SECONDS) -scenarios "$(SCENARIOS)" -peers "$(PEERS)" -ours "$(OURS)"

# The build uses a file of this name by itself. Unlike the results of `bench` it
# does not depend on how busy the machine is: what counts is where the time goes.
PGO_MIX ?= small,tls1,post64k,body1m,rate,h2,handshake
pgo: ## cmd/fairlead/default.pgo, a profile under the mix of `make bench`, for the compiler
	@scripts/need.sh go wrk h2load
	$(STATIC) -pgo off -o bin/fairlead ./cmd/fairlead
	go build -o bin/bench ./bench
	bin/bench -pgo cmd/fairlead/default.pgo -seconds 10 -scenarios "$(PGO_MIX)" -peers "" -ours fairlead

microbench: ## Go benchmarks: lookup and swap in the rooms, start and stop on the real engine
	@scripts/need.sh go engine
	go test -run '^$$' -bench . -benchmem ./label/... ./spec/... ./routing/...
	go test -run '^$$' -bench . -benchtime 1x -timeout 20m ./test/e2e/...

clean: ## removes bin/
	rm -rf bin
