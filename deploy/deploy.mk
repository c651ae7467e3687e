# make manifests    chart, kustomize base and compose file: lint, render, and validate offline against the schemas of their owners
# make deb          Debian packages for amd64 and arm64, into dist
# make deb-check    lintian, and install, run and purge in a root of its own (needs root, lintian)
# make sbom         CycloneDX bills of materials of the binaries, one for each platform, into dist
# make workflows    actionlint over .github
# make release      binaries for six platforms, packages, chart and bill of materials, with SHA256SUMS, into dist/release
# make reproducible the same source in two other folders gives the same bytes
#
# Tools of others are built once from their modules, checked by the sum database, into TOOLS; the version is in the name.

TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/freeway-tools

HELM_VERSION       = v3.22.0
KUSTOMIZE_VERSION  = v5.8.2
VALIDATE_VERSION   = v0.0.4
ACTIONLINT_VERSION = v1.7.12
CYCLONEDX_VERSION  = v1.10.0
COMPOSE_VERSION    = v2.16.2
CERT_MANAGER       = github.com/cert-manager/cert-manager@v1.21.2
PROMETHEUS_OPERATOR = github.com/prometheus-operator/prometheus-operator@v0.85.0

HELM       = $(TOOLS)/helm-$(HELM_VERSION)
KUSTOMIZE  = $(TOOLS)/kustomize-$(KUSTOMIZE_VERSION)
VALIDATE   = $(TOOLS)/kubectl-validate-$(VALIDATE_VERSION)
ACTIONLINT = $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)
CYCLONEDX  = $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)
COMPOSE    = $(TOOLS)/compose-$(COMPOSE_VERSION)
CRDS       = $(TOOLS)/crds-$(lastword $(subst @, ,$(CERT_MANAGER)))-$(lastword $(subst @, ,$(PROMETHEUS_OPERATOR)))

.PHONY: manifests tools deb deb-check sbom workflows release reproducible

# install MODULE@VERSION builds one program; whoever else does so at the same time does no harm.
install = @mkdir -p $(TOOLS); new=$$(mktemp -d $(TOOLS)/new.XXXXXX) && trap 'rm -rf "$$new"' EXIT && echo "building $(1)" && \
	GOFLAGS= GOBIN=$$new CGO_ENABLED=0 nice $(GO) install -trimpath -ldflags '-s -w' $(1) && mv "$$new"/* $@

$(HELM): ; $(call install,helm.sh/helm/v3/cmd/helm@$(HELM_VERSION))
$(KUSTOMIZE): ; $(call install,sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION))
$(VALIDATE): ; $(call install,sigs.k8s.io/kubectl-validate@$(VALIDATE_VERSION))
$(ACTIONLINT): ; $(call install,github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION))
$(CYCLONEDX): ; $(call install,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION))
$(COMPOSE): ; $(call install,github.com/compose-spec/compose-go/v2/cmd@$(COMPOSE_VERSION))

module = $$($(GO) mod download -json $(1) | sed -n 's/^.*"Dir": "\(.*\)".*$$/\1/p')

$(CRDS):
	@mkdir -p $(TOOLS); new=$$(mktemp -d $(TOOLS)/new.XXXXXX) && trap 'rm -rf "$$new"' EXIT && cd "$$new" && mkdir crds && \
	cp "$(call module,$(CERT_MANAGER))"/deploy/crds/cert-manager.io_certificates.yaml crds && \
	operator="$(call module,$(PROMETHEUS_OPERATOR))/example/prometheus-operator-crd/monitoring.coreos.com" && \
	cp "$${operator}_servicemonitors.yaml" "$${operator}_prometheusrules.yaml" crds && chmod -R u+w crds && mv crds $@

tools: $(HELM) $(KUSTOMIZE) $(VALIDATE) $(COMPOSE) $(CRDS) $(ACTIONLINT)

manifests: $(HELM) $(KUSTOMIZE) $(VALIDATE) $(COMPOSE) $(CRDS)
	$(GO) vet -tags manifests ./deploy
	HELM=$(HELM) KUSTOMIZE=$(KUSTOMIZE) KUBECTL_VALIDATE=$(VALIDATE) COMPOSE=$(COMPOSE) CRDS=$(CRDS) $(GO) test -tags manifests -count 1 ./deploy

workflows: $(ACTIONLINT)
	$(ACTIONLINT)

deb:
	@mkdir -p dist && rm -f dist/freeway_*.deb
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/freeway-linux-$$arch ./cmd/freeway || exit 1; \
	done
	@for arch in amd64 arm64; do \
		GO="$(GO)" deploy/debian/build.sh $$arch $(VERSION) dist/freeway-linux-$$arch dist/freeway-linux-$$($(GO) env GOHOSTARCH) dist || exit 1; \
	done

deb-check: deb
	deploy/debian/check.sh dist

# SOURCE_DATE_EPOCH is the time of what is built: that of the commit.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

sbom: $(CYCLONEDX)
	@mkdir -p dist
	@for p in $(PLATFORMS); do \
		out=dist/freeway-$${p%/*}-$${p#*/}.cdx.json; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(CYCLONEDX) app -json -licenses -std -noserial -main cmd/freeway -output $$out . 2>/dev/null || exit 1; \
		sed -i 's/"timestamp": "[^"]*"/"timestamp": "'$$(date -u -d @$(SOURCE_DATE_EPOCH) +%FT%TZ)'"/' $$out; \
		grep -q '"bomFormat": "CycloneDX"' $$out && grep -q 'pkg:golang/go.etcd.io/bbolt@' $$out || { echo "$$out is no bill of materials"; exit 1; }; \
	done

# The bytes of a release depend on the commit alone: not on whether the folder is a checkout, nor on the settings of its builder.
release: export GOFLAGS = -trimpath -buildvcs=false
release: export GOAMD64 = v1
release: export GOARM64 = v8.0
release: export GOEXPERIMENT =
release: cross deb sbom $(HELM)
	GO="$(GO)" HELM=$(HELM) PLATFORMS="$(PLATFORMS)" SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) deploy/release.sh $(VERSION) dist dist/release

reproducible:
	deploy/reproducible.sh
