# make manifests    chart, kustomize base and compose file: lint, render, and validate offline against the schemas of their owners
# make deb          Debian packages for amd64 and arm64, into dist
# make deb-check    lintian, and install, run and purge in a root of its own (needs root, lintian)
# make sbom         CycloneDX bill of materials of the binary, into dist
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

sbom: $(CYCLONEDX)
	@mkdir -p dist
	$(CYCLONEDX) app -json -licenses -std -noserial -main cmd/freeway -output dist/freeway.cdx.json .

release: cross deb sbom $(HELM)
	GO="$(GO)" HELM=$(HELM) deploy/release.sh $(VERSION) dist dist/release

reproducible:
	GO="$(GO)" deploy/reproducible.sh
