# make run and make test are the two that a newcomer needs: each installs what
# the machine lacks (Debian and its kin, with Go already there) and does its job.

.DEFAULT_GOAL := build
.PHONY: build run test bench races siege chaos soak lint fuzz ci clean

# How long each fuzz target runs; `make test` runs their seeds alone.
FUZZTIME ?= 30s

# How long each race runs, and how many rounds a benchmark has.
RACETIME ?= 2m
BENCHTIME ?= 10x

# How many sessions run at once, how many bad connections a gateway gets, and from how
# many addresses and how often each a flood comes.
SESSIONS ?= 1000
STRANGERS ?= 10000
ADDRESSES ?= 100
ROUNDS ?= 300

# How often something is killed at each of the four levels, how long a storm of changes
# is, and for how long everything goes on at once.
KILLS ?= 125
STORMTIME ?= 1m
SOAKTIME ?= 1h

# How many records the trail has that is measured; a year of an office with 200
# clients is 10000000, which takes some minutes and 2 GB of memory for the files.
RECORDS ?= 500000

# The rsync of Debian 12, which .ci/packages unpacks there.
OLD_RSYNC := $(CURDIR)/bin/rsync-3.2.7/usr/bin/rsync

build: ## the one binary, bin/postern
	CGO_ENABLED=0 go build -trimpath -o bin/postern ./cmd/postern

run: ## a gateway in ./run with one rsync and one borg backup made through it
	.ci/packages run
	$(MAKE) --no-print-directory build
	internal/demo/run

test: ## every test
	.ci/packages test
	POSTERN_E2E_RSYNC_OLD=$(OLD_RSYNC) go test -race -timeout 30m ./...

bench: ## what confinement costs, reading a trail of RECORDS, and postern beside sshd
	.ci/packages test
	go test ./sandbox -run '^$$' -bench .
	go test ./audit -run '^$$' -bench . -timeout 0 -office-records $(RECORDS)
	POSTERN_E2E_RSYNC_OLD=$(OLD_RSYNC) go test ./e2e -run '^$$' -bench . -benchtime $(BENCHTIME)

races: ## clients that swap folders while rsync works, for RACETIME each
	.ci/packages test
	POSTERN_E2E_RSYNC_OLD=$(OLD_RSYNC) go test ./sandbox -run 'Race' -v -timeout 0 -race-time $(RACETIME)

siege: ## SESSIONS at once, then STRANGERS and floods while a client backs up
	.ci/packages test
	POSTERN_E2E_RSYNC_OLD=$(OLD_RSYNC) go test ./e2e -run Siege -parallel 1 -v -timeout 0 -siege-sessions $(SESSIONS) \
		-siege-strangers $(STRANGERS) -siege-addresses $(ADDRESSES) -siege-rounds $(ROUNDS)

chaos: ## KILLS of gateways, children and clients at each level, and a storm of changes
	.ci/packages test
	POSTERN_E2E_RSYNC_OLD=$(OLD_RSYNC) go test ./e2e -run '^(TestKilled|TestStorm)$$' -v -timeout 0 -whole -kills $(KILLS) -storm-time $(STORMTIME)

soak: ## mixed traffic for SOAKTIME, in which the gateway must not grow
	.ci/packages test
	POSTERN_E2E_RSYNC_OLD=$(OLD_RSYNC) go test ./e2e -run '^TestSoak$$' -v -timeout 0 -soak-time $(SOAKTIME)

lint: ## gofmt, vet and the linters, as .ci/run does, without the tests
	.ci/run lint

fuzz: ## each fuzz target for FUZZTIME
	.ci/run fuzz $(FUZZTIME)

ci: ## everything that must hold before a change lands
	.ci/run

clean: ## what the others made
	chmod -R u+w run 2>/dev/null || true
	rm -rf bin run
